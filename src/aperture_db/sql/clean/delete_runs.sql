-- Recommendation runs. Privilege: SELECT and DELETE on recommendation_runs.
DELETE FROM recommendation_runs WHERE id = ANY (%(runs)s)
