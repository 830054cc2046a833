-- What this session has written to each table so far, and the file that holds each. The counters
-- may begin with those of an earlier transaction, so only their difference tells.
-- Privilege: none.
SELECT
    c.oid,
    c.relname AS name,
    pg_stat_get_xact_tuples_inserted(c.oid) AS inserted,
    pg_stat_get_xact_tuples_updated(c.oid) AS updated,
    pg_stat_get_xact_tuples_deleted(c.oid) AS deleted,
    c.relfilenode AS file
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm')
    AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema'
    AND n.nspname !~ '^pg_'
