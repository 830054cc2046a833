-- Cast, directors, runtime and tagline of discovery candidates, for their detail view.

ALTER TABLE discovery_candidates
    ADD COLUMN cast_members jsonb,
    ADD COLUMN directors text[],
    ADD COLUMN runtime_minutes integer,
    ADD COLUMN tagline text;
