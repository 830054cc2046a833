-- Large tables that are mostly read from end to end, since the statistics were reset.
-- Privilege: none.
SELECT
    c.oid::regclass::text AS name,
    c.relname::text AS table_name,
    round(c.reltuples)::bigint AS analyzed_rows,
    s.seq_scan AS sequential_scans,
    coalesce(s.idx_scan, 0) AS index_scans
FROM pg_stat_user_tables AS s
JOIN pg_class AS c ON c.oid = s.relid
WHERE c.reltuples >= %(min_rows)s
    AND s.seq_scan >= %(min_scans)s
    -- Many scans of a part: an EXISTS or LIMIT that stopped early is none to worry about.
    AND s.seq_tup_read >= s.seq_scan * c.reltuples / 2
ORDER BY s.seq_tup_read DESC
