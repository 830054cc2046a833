-- name: current_stats
-- The statistics and size of a table after the work on it; times of manual VACUUM and ANALYZE only.
-- The size waits behind ACCESS EXCLUSIVE locks. Privilege: none.
SELECT
    pg_stat_get_dead_tuples(c.oid) AS dead_rows,
    pg_stat_get_last_vacuum_time(c.oid) AS vacuumed_at,
    pg_stat_get_last_analyze_time(c.oid) AS analyzed_at,
    {size} AS total_bytes
FROM pg_class AS c
WHERE c.oid = {oid}

-- name: indexes
-- The indexes of tables, in the order in which VACUUM works on them. Pages are counted for the
-- tables in "measured", which waits behind ACCESS EXCLUSIVE locks; for others they are those of the
-- catalog, which VACUUM does not renew for an HNSW index. Privilege: none.
SELECT
    i.indrelid AS table_oid,
    c.oid,
    n.nspname AS schema,
    c.relname AS name,
    am.amname = 'hnsw' AS is_hnsw,
    i.indisvalid AS is_valid,
    CASE
        WHEN i.indrelid = ANY (%(measured)s::oid[])
            THEN pg_relation_size(c.oid) / current_setting('block_size')::integer
        ELSE c.relpages
    END::integer AS pages
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_am AS am ON am.oid = c.relam
WHERE i.indrelid = ANY (%(oids)s::oid[])
ORDER BY i.indrelid, c.oid

-- name: progress
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

-- name: snapshot_holders
-- What has kept rows alive since before a moment: sessions with an old snapshot or an open
-- transaction that wrote, prepared transactions, replication slots and standbys. The oldest first.
-- For VACUUM FULL a transaction that wrote in another database counts too: it holds back the
-- snapshot of VACUUM FULL itself.
-- Privilege: pg_read_all_stats for the age of other users' transactions; without it they count
-- as old.
SELECT kind, name, pid, application, "user", state, transaction_age_seconds
FROM (
    SELECT
        CASE
            WHEN a.backend_type = 'walsender' THEN 'standby'
            ELSE 'session'
        END AS kind,
        nullif(a.datname::text, current_database()) AS name,
        a.pid,
        coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
        coalesce(a.usename, '')::text AS "user",
        coalesce(a.state, '') AS state,
        extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds,
        greatest(age(a.backend_xmin), age(a.backend_xid)) AS horizon_age
    FROM pg_stat_activity AS a
    WHERE a.pid <> pg_backend_pid()
        -- Our other connections, whose work keeps no dead row alive.
        AND NOT (a.application_name = 'aperture-db' AND a.query ~ '^(VACUUM|ANALYZE|REINDEX) ')
        AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
        AND (
            a.datname = current_database()
            OR a.backend_type = 'walsender'
            OR (%(is_full)s AND a.backend_xid IS NOT NULL)
        )
        AND (a.xact_start IS NULL OR a.xact_start < %(since)s)
    UNION ALL
    SELECT
        'prepared transaction', p.gid, NULL, '', p.owner::text, '',
        extract(epoch FROM clock_timestamp() - p.prepared)::float8,
        age(p.transaction)
    FROM pg_prepared_xacts AS p
    WHERE p.database = current_database()
    UNION ALL
    SELECT 'replication slot', s.slot_name::text, NULL, '', '', '', NULL, age(s.xmin)
    FROM pg_replication_slots AS s
    WHERE s.xmin IS NOT NULL
) AS holder
ORDER BY horizon_age DESC NULLS LAST
LIMIT 3

-- name: statistics
-- What decides about a VACUUM of tables. Waits for no lock on the tables. Before PostgreSQL 17 the
-- privilege MAINTAIN does not exist. Privilege: none.
SELECT
    c.oid,
    c.reltoastrelid AS toast_oid,
    coalesce(toast.relpages, 0) AS toast_pages,
    pg_stat_get_live_tuples(c.oid) AS live_rows,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_stat_get_dead_tuples(c.oid) END AS dead_rows,
    pg_stat_get_dead_tuples(c.oid) > 0
        OR pg_stat_get_ins_since_vacuum(c.oid) > 0
        OR coalesce(
            pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)
        ) IS NULL
        -- From this age on VACUUM freezes the rows of the whole table.
        OR age(c.relfrozenxid) > current_setting('vacuum_freeze_table_age')::bigint
        AS needs_vacuum,
    pg_stat_get_mod_since_analyze(c.oid) > 0
        OR coalesce(
            pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)
        ) IS NULL AS needs_analyze,
    pg_has_role(c.relowner, 'USAGE')
        OR (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database())
        OR CASE
            WHEN current_setting('server_version_num')::integer >= 170000
                THEN has_table_privilege(c.oid, 'MAINTAIN')
            ELSE false
        END AS may_vacuum
FROM pg_class AS c
LEFT JOIN pg_class AS toast ON toast.oid = c.reltoastrelid
WHERE c.oid = ANY (%(oids)s::oid[])
