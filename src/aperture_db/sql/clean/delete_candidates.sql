-- The candidates of recommendation runs. Privilege: SELECT and DELETE on recommendation_candidates.
DELETE FROM recommendation_candidates WHERE run_id = ANY (%(runs)s)
