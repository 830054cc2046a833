-- The next runs to delete, whole. Privilege: SELECT on recommendation_runs.
SELECT ARRAY({rows} LIMIT %(batch_rows)s)
