-- The columns of tables in order. Privilege: none.
SELECT
    a.attrelid AS table_oid,
    a.attname AS name,
    format_type(a.atttypid, a.atttypmod) AS type,
    a.attnotnull AS is_not_null,
    has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS may_select
FROM pg_attribute AS a
WHERE a.attrelid = ANY (%(oids)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
