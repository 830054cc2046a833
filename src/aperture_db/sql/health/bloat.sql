-- Space inside the largest tables and their TOAST that holds nothing, read from the free space map
-- and the pages that VACUUM has not seen. Privilege: pg_stat_scan_tables.
SELECT
    large.name,
    large.table_name,
    large.vacuum_name,
    sum(a.table_len)::bigint AS size_bytes,
    sum(a.approx_free_space)::bigint AS free_bytes
FROM (
    SELECT
        c.oid,
        c.reltoastrelid,
        c.oid::regclass::text AS name,
        c.relname::text AS table_name,
        CASE WHEN pg_table_is_visible(c.oid) THEN '' ELSE n.nspname || '.' END || c.relname
            AS vacuum_name
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm')
        AND n.nspname !~ '^pg_'
        AND n.nspname <> 'information_schema'
        AND pg_table_size(c.oid) >= %(min_bytes)s
    ORDER BY pg_table_size(c.oid) DESC
    LIMIT 10
) AS large
CROSS JOIN LATERAL unnest(ARRAY[large.oid, nullif(large.reltoastrelid, 0)]) AS relation (oid)
CROSS JOIN LATERAL {schema}.pgstattuple_approx(relation.oid) AS a
WHERE relation.oid IS NOT NULL
GROUP BY large.oid, large.name, large.table_name, large.vacuum_name
ORDER BY free_bytes DESC
