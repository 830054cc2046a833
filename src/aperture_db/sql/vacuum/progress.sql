-- How far VACUUM, ANALYZE, VACUUM FULL and REINDEX CONCURRENTLY are on some relations. The counts
-- of indexes exist from PostgreSQL 17 on. Privilege: none for statements of the same role,
-- pg_read_all_stats for others.
SELECT
    'vacuum' AS kind,
    v.relid,
    v.phase,
    CASE v.phase
        WHEN 'vacuuming heap' THEN v.heap_blks_vacuumed
        ELSE v.heap_blks_scanned
    END AS blocks_done,
    v.heap_blks_total AS blocks_total,
    (to_jsonb(v) ->> 'indexes_processed')::bigint AS indexes_done,
    (to_jsonb(v) ->> 'indexes_total')::bigint AS indexes_total,
    NULL::integer AS waits_for_pid
FROM pg_stat_progress_vacuum AS v
WHERE v.datname = current_database() AND v.relid = ANY (%(oids)s::oid[])
UNION ALL
SELECT
    'analyze', a.relid, a.phase, a.sample_blks_scanned, a.sample_blks_total, NULL, NULL, NULL
FROM pg_stat_progress_analyze AS a
WHERE a.datname = current_database() AND a.relid = ANY (%(oids)s::oid[])
UNION ALL
SELECT
    'rewrite', r.relid, r.phase, r.heap_blks_scanned, r.heap_blks_total,
    r.index_rebuild_count, NULL, NULL
FROM pg_stat_progress_cluster AS r
WHERE r.datname = current_database() AND r.relid = ANY (%(oids)s::oid[])
UNION ALL
SELECT
    'reindex', i.relid, i.phase, i.blocks_done, i.blocks_total, NULL, NULL,
    nullif(i.current_locker_pid, 0)::integer
FROM pg_stat_progress_create_index AS i
WHERE i.datname = current_database() AND i.relid = ANY (%(oids)s::oid[])
