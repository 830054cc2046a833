-- What decides about a VACUUM of tables, and what it left; times of manual ones only. Waits for no lock on the tables.
-- Before PostgreSQL 17 the privilege MAINTAIN does not exist. Privilege: none.
SELECT
    c.oid,
    c.reltoastrelid AS toast_oid,
    coalesce(toast.relpages, 0) AS toast_pages,
    pg_stat_get_live_tuples(c.oid) AS live_rows,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_stat_get_dead_tuples(c.oid) END AS dead_rows,
    pg_stat_get_last_vacuum_time(c.oid) AS vacuumed_at,
    pg_stat_get_last_analyze_time(c.oid) AS analyzed_at,
    pg_has_role(c.relowner, 'USAGE')
        OR (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database())
        OR CASE
            WHEN current_setting('server_version_num')::integer >= 170000
                THEN has_table_privilege(c.oid, 'MAINTAIN')
            ELSE false
        END AS may_vacuum,
    clock_timestamp() AS read_at
FROM pg_class AS c
LEFT JOIN pg_class AS toast ON toast.oid = c.reltoastrelid
WHERE c.oid = ANY (%(oids)s::oid[])
