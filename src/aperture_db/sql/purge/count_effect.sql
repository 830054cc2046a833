-- Rows of one table: all, those that go, and those that each change concerns.
-- Privilege: SELECT on the table and on those that its conditions look into.
SELECT
    {oid}::bigint AS oid,
    count(*) AS total,
    count(*) FILTER (WHERE {going}) AS going,
    ARRAY[{changed}]::bigint[] AS changed
FROM {table}
