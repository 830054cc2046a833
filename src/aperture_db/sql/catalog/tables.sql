-- Every table and materialized view that is not PostgreSQL's own, with what the catalogs tell
-- about it. Waits for no lock on the tables. Privilege: none.
SELECT
    c.oid,
    n.nspname AS schema,
    c.relname AS name,
    c.relkind::text AS kind,
    ARRAY(
        SELECT a.attname::text
        FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum
    ) AS columns,
    pg_get_userbyid(c.relowner) AS owner,
    -- A schema that the role may not enter drops out of its search_path.
    pg_table_is_visible(c.oid)
        OR (n.nspname = 'public' AND NOT has_schema_privilege(n.oid, 'USAGE')) AS is_visible,
    c.relispopulated AS is_populated,
    has_schema_privilege(n.oid, 'USAGE') AS may_enter_schema,
    has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS may_select,
    has_schema_privilege(n.oid, 'USAGE')
        AND has_any_column_privilege(c.oid, 'SELECT') AS may_count,
    has_table_privilege(c.oid, 'INSERT') AS may_insert,
    has_table_privilege(c.oid, 'UPDATE') AS may_update,
    has_table_privilege(c.oid, 'DELETE') AS may_delete,
    has_table_privilege(c.oid, 'TRUNCATE') AS may_truncate,
    pg_has_role(c.relowner, 'USAGE') AS is_owner,
    CASE WHEN c.reltuples >= 0 THEN round(c.reltuples)::bigint END AS analyzed_rows,
    c.relpages AS analyzed_pages,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_stat_get_dead_tuples(c.oid) END AS dead_rows
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f')
    AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema'
    AND n.nspname !~ '^pg_'
ORDER BY n.nspname, c.relname
