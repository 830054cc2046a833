-- The place of a candidate among the selected ones, and the time when a run was complete.

ALTER TABLE recommendation_candidates
    ADD COLUMN selected_rank integer;

ALTER TABLE recommendation_runs
    ADD COLUMN completed_at timestamptz;
