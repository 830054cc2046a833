-- name: begin_file
-- Purpose: begin a file's transaction with a try for the lock that all runners of this tool share.
-- The lock belongs to the transaction, so a pooler can't leave it behind, and the server ends the
-- transaction within a second of the client's death. Privilege: none.
SELECT
    pg_try_advisory_xact_lock(%(lock_key)s),
    pg_backend_pid(),
    set_config('lock_timeout', %(lock_timeout)s, true),
    set_config('statement_timeout', %(statement_timeout)s, true),
    set_config(
        'idle_in_transaction_session_timeout', %(idle_in_transaction_session_timeout)s, true
    ),
    set_config('client_connection_check_interval', %(client_connection_check_interval)s, true)

-- name: commit_file
-- Purpose: end a file's transaction. The guard is gone if the file has ended it itself, and then
-- nothing more may be committed. Privilege: none.
RELEASE SAVEPOINT aperture_db_guard;
COMMIT

-- name: create_table
-- Purpose: Aperture's own table of applied migrations, as its runner makes it.
-- Privilege: CREATE on the schema.
-- Two runners can be here at once: the first statement lets one through, so that the sequence of
-- the second gets the name that Aperture's has, and no other with a number behind it.
CREATE TABLE {schema}.aperture_migrations ();
ALTER TABLE {schema}.aperture_migrations
    ADD COLUMN id serial PRIMARY KEY,
    ADD COLUMN name text UNIQUE NOT NULL,
    ADD COLUMN applied_at timestamptz DEFAULT now()

-- name: environment
-- Purpose: whether the schema can be changed at all, and what is in it already.
-- Privilege: none beyond CONNECT.
SELECT
    current_user AS role,
    pg_is_in_recovery() AS is_standby,
    current_setting('transaction_read_only') = 'on' AS is_read_only,
    {creation_schema}::text AS schema,
    {search_path}::text AS search_path,
    -- A schema that the role may not enter drops out of its search_path.
    NOT coalesce(
        has_schema_privilege(to_regnamespace(quote_ident({schema_name}))::oid, 'USAGE'), true
    ) AS is_closed,
    coalesce(has_schema_privilege({creation_schema}::text, 'CREATE'), false) AS may_create,
    records.oid IS NOT NULL AS is_tracked,
    coalesce(row_security_active(records.oid), false) AS hides_records,
    pg_get_userbyid(records.relowner) AS records_owner,
    coalesce(
        has_table_privilege(records.oid, 'INSERT') AND has_table_privilege(records.oid, 'UPDATE'),
        true
    ) AS may_record,
    ARRAY(
        SELECT relname::text
        FROM pg_class
        WHERE relnamespace = to_regnamespace(quote_ident({schema_name})) AND relkind = 'r'
          AND relname IN ('users', 'sessions', 'movies', 'embeddings', 'watch_history')
        ORDER BY relname
    ) AS aperture_tables
FROM (SELECT) AS one
LEFT JOIN pg_class AS records
    ON records.relname = 'aperture_migrations'
    AND records.relkind IN ('r', 'p')
    AND records.relnamespace = to_regnamespace(quote_ident({schema_name}))

-- name: invalid_index
-- Purpose: an index of this name that a failed CONCURRENTLY build left invalid.
-- Privilege: none.
SELECT quote_ident(c.relname)
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE lower(c.relname) = lower(%(name)s)
    AND NOT i.indisvalid
    AND c.relnamespace = to_regnamespace(quote_ident({schema_name}))

-- name: record
-- Purpose: record a file, unless somebody did meanwhile; the table lock keeps Aperture's own
-- runner from recording it until this transaction ends, and readers are not held up.
-- The savepoint is the guard that tells whether the file ends the transaction itself.
-- Privilege: INSERT and UPDATE (for the lock) on aperture_migrations.
LOCK TABLE {schema}.aperture_migrations IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO {schema}.aperture_migrations (name)
SELECT %(name)s WHERE NOT EXISTS (SELECT FROM {schema}.aperture_migrations WHERE name = %(name)s);
SAVEPOINT aperture_db_guard

-- name: records
-- Purpose: the migrations that are recorded as applied, oldest first.
-- Privilege: SELECT on aperture_migrations.
SELECT name, applied_at FROM {schema}.aperture_migrations ORDER BY id

-- name: taken_names
-- Purpose: what has a name in Aperture's schema: relations, types, routines and triggers, without
-- members of extensions, what belongs to another object and the record of migrations.
-- Privilege: none.
SELECT
    'relation' AS namespace,
    n.nspname::text AS schema,
    c.relname::text AS name,
    CASE c.relkind
        WHEN 'r' THEN 'table'
        WHEN 'p' THEN 'partitioned table'
        WHEN 'v' THEN 'view'
        WHEN 'm' THEN 'materialized view'
        WHEN 'f' THEN 'foreign table'
        WHEN 'S' THEN 'sequence'
        WHEN 'c' THEN 'composite type'
        ELSE 'index'
    END AS kind,
    coalesce(indexed.relname::text, '') AS "table",
    ARRAY(
        SELECT a.attname::text
        FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS parts,
    '' AS source
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
LEFT JOIN pg_class AS indexed ON indexed.oid = i.indrelid
WHERE n.nspname IN ('public', {schema_name})
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
UNION ALL
SELECT
    'type', n.nspname::text, t.typname::text,
    CASE t.typtype
        WHEN 'e' THEN 'enum'
        WHEN 'd' THEN 'domain'
        WHEN 'r' THEN 'range type'
        WHEN 'm' THEN 'multirange type'
        ELSE 'type'
    END,
    '', ARRAY[]::text[], ''
FROM pg_type AS t
JOIN pg_namespace AS n ON n.oid = t.typnamespace
WHERE n.nspname IN ('public', {schema_name})
    AND t.typrelid = 0
    -- The server itself renames the array type of another type.
    AND NOT EXISTS (SELECT FROM pg_type AS element WHERE element.typarray = t.oid)
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
    )
UNION ALL
SELECT
    'routine', n.nspname::text, p.proname::text,
    CASE p.prokind
        WHEN 'p' THEN 'procedure'
        WHEN 'a' THEN 'aggregate'
        WHEN 'w' THEN 'window function'
        ELSE 'function'
    END,
    '',
    ARRAY(
        SELECT format_type(argument.type, NULL)
        FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS argument (type, position)
        ORDER BY argument.position
    ),
    p.prosrc
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname IN ('public', {schema_name})
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
UNION ALL
SELECT
    'trigger', n.nspname::text, t.tgname::text, 'trigger', c.relname::text, ARRAY[]::text[], ''
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN ('public', {schema_name}) AND NOT t.tgisinternal
