-- Rows of jobs that have not said that they ended; a crash leaves such rows behind, too.
-- Privilege: SELECT on the table.
SELECT
    {name} AS name,
    count(*) AS rows,
    extract(epoch FROM now() - max(created_at))::float8 AS age_seconds
FROM {table}
WHERE status = 'running'
HAVING count(*) > 0
