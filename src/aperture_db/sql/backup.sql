-- name: create_records
-- Backups outside Aperture's directory, and restore drills. Privilege: CREATE on schema aperture_db;
-- the creator owns the tables.
CREATE TABLE IF NOT EXISTS aperture_db.backups (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    made_at timestamptz NOT NULL,
    directory text NOT NULL,
    file_name text NOT NULL,
    size_bytes bigint NOT NULL
);
COMMENT ON TABLE aperture_db.backups IS 'Backups outside backup_config.backup_path';
CREATE TABLE IF NOT EXISTS aperture_db.drills (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    drilled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    directory text NOT NULL,
    file_name text NOT NULL,
    backup_made_at timestamptz,
    duration_seconds double precision NOT NULL,
    failure text
);
COMMENT ON TABLE aperture_db.drills IS 'Backups that restore --drill restored for a test';
COMMENT ON COLUMN aperture_db.drills.failure IS 'null: the backup could be restored'

-- name: delete_old_records
-- Keeps the newest 100 rows of one table. Privilege: DELETE and SELECT on it.
DELETE FROM aperture_db.{table}
WHERE id <= (SELECT max(id) FROM aperture_db.{table}) - 100

-- name: insert_drill
-- Records a restore drill. Privilege: INSERT on aperture_db.drills.
INSERT INTO aperture_db.drills (directory, file_name, backup_made_at, duration_seconds, failure)
VALUES (
    %(directory)s, %(file_name)s, %(backup_made_at)s, %(duration_seconds)s, %(failure)s
)

-- name: insert_backup
-- Records a backup outside Aperture's directory. Privilege: INSERT on aperture_db.backups.
INSERT INTO aperture_db.backups (made_at, directory, file_name, size_bytes)
VALUES (%(made_at)s, %(directory)s, %(file_name)s, %(size_bytes)s)

-- name: countable_indexes
-- B-tree indexes of whole tables, with the order that a scan of them gives. Those with expressions
-- or with the rules of another sort order are left out: no plain ORDER BY asks for them.
-- Privilege: none.
SELECT
    n.nspname AS schema,
    c.relname AS table_name,
    x.relname AS index_name,
    x.oid::regclass::text AS name,
    (
        SELECT string_agg(
            pg_get_indexdef(i.indexrelid, k, false)
                || CASE i.indoption[k - 1] & 1 WHEN 1 THEN ' DESC' ELSE '' END
                || CASE i.indoption[k - 1] & 2 WHEN 2 THEN ' NULLS FIRST' ELSE ' NULLS LAST' END,
            ', ' ORDER BY k
        )
        FROM generate_series(1, i.indnkeyatts) AS k
    ) AS keys
FROM pg_index AS i
JOIN pg_class AS x ON x.oid = i.indexrelid
JOIN pg_am AS a ON a.oid = x.relam
JOIN pg_class AS c ON c.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE a.amname = 'btree'
    AND c.relkind = 'r'
    AND i.indisvalid
    AND i.indisready
    AND i.indpred IS NULL
    AND i.indexprs IS NULL
    AND NOT EXISTS (
        SELECT
        FROM generate_series(0, i.indnkeyatts - 1) AS k
        JOIN pg_opclass AS o ON o.oid = i.indclass[k]
        JOIN pg_attribute AS t ON t.attrelid = c.oid AND t.attnum = i.indkey[k]
        WHERE NOT o.opcdefault OR t.attcollation <> i.indcollation[k]
    )
ORDER BY n.nspname, c.relname, x.relname

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
        END AS may_select,
    row_security_active(c.oid) AS hides_rows
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
UPDATE {schema}.backup_config
SET last_backup_at = %(made_at)s,
    last_backup_filename = %(name)s,
    last_backup_size_bytes = %(size_bytes)s
WHERE id = 1

-- name: may_read_settings
-- Whether the table of backup settings is there and may be read. Privilege: none.
SELECT has_table_privilege(c.oid, 'SELECT')
    AND has_schema_privilege(c.relnamespace, 'USAGE')
    AND NOT row_security_active(c.oid)
FROM pg_class AS c
WHERE c.relname = 'backup_config' AND c.relnamespace = to_regnamespace(quote_ident({schema_name}))

-- name: settings
-- Aperture's settings of backups. Privilege: SELECT on backup_config.
SELECT backup_path, retention_count FROM {schema}.backup_config WHERE id = 1
