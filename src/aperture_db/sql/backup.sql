-- name: dumped_relations
-- The relations that pg_dump reads: tables and sequences that belong to no extension.
-- Privilege: none.
SELECT
    n.nspname AS schema,
    c.relname AS name,
    c.relkind = 'S' AS is_sequence,
    has_schema_privilege(n.oid, 'USAGE')
        AND CASE c.relkind
            WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
            ELSE has_table_privilege(c.oid, 'SELECT')
        END AS may_select
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'S')
    AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema'
    AND n.nspname !~ '^pg_'
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.deptype = 'e'
            AND (d.classid, d.objid) IN (
                ('pg_class'::regclass, c.oid), ('pg_namespace'::regclass, n.oid)
            )
    )
ORDER BY n.nspname, c.relname

-- name: record
-- Record the last backup, which Aperture's page shows. Privilege: UPDATE on backup_config.
UPDATE backup_config
SET last_backup_at = %(made_at)s,
    last_backup_filename = %(name)s,
    last_backup_size_bytes = %(size_bytes)s
WHERE id = 1
