-- Dead rows of each table against the number at which autovacuum acts: the table's own settings,
-- or else the server's (formula: PostgreSQL's manual, "The Autovacuum Daemon"). HNSW indexes give
-- worse answers with dead rows, so their tables are also told apart. Privilege: none.
SELECT
    c.oid::regclass::text AS name,
    c.relname::text AS table_name,
    CASE WHEN pg_table_is_visible(c.oid) THEN '' ELSE s.schemaname || '.' END || c.relname
        AS vacuum_name,
    s.n_live_tup AS live_rows,
    s.n_dead_tup AS dead_rows,
    least(
        coalesce(o.threshold, current_setting('autovacuum_vacuum_threshold'))::float8
            + coalesce(o.scale_factor, current_setting('autovacuum_vacuum_scale_factor'))::float8
                * greatest(c.reltuples, 0),
        -- From 18 on; -1 means no maximum.
        nullif(
            coalesce(o.maximum, current_setting('autovacuum_vacuum_max_threshold', true)), '-1'
        )::float8
    ) AS autovacuum_rows,
    EXISTS (
        SELECT
        FROM pg_index AS i
        JOIN pg_class AS index_class ON index_class.oid = i.indexrelid
        JOIN pg_am AS a ON a.oid = index_class.relam
        WHERE i.indrelid = c.oid AND a.amname = 'hnsw'
    ) AS has_hnsw,
    EXISTS (SELECT FROM pg_stat_progress_vacuum AS p WHERE p.relid = c.oid) AS is_being_vacuumed
FROM pg_stat_user_tables AS s
JOIN pg_class AS c ON c.oid = s.relid
CROSS JOIN LATERAL (
    SELECT
        max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_threshold') AS threshold,
        max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_scale_factor')
            AS scale_factor,
        max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_max_threshold') AS maximum
    FROM pg_options_to_table(c.reloptions)
) AS o
WHERE s.n_dead_tup > 0
ORDER BY s.n_dead_tup DESC
