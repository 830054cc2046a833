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
    %(schema)s::text AS schema,
    %(search_path)s::text AS search_path,
    -- A schema that the role may not enter drops out of its search_path.
    %(search_path)s::text ~ '\mpublic\M'
        AND NOT coalesce(
            has_schema_privilege(to_regnamespace('public')::oid, 'USAGE'), true
        ) AS is_public_closed,
    coalesce(has_schema_privilege(%(schema)s::text, 'CREATE'), false) AS may_create,
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
        WHERE relnamespace = to_regnamespace(quote_ident(%(schema)s::text)) AND relkind = 'r'
          AND relname IN ('users', 'sessions', 'movies', 'embeddings', 'watch_history')
        ORDER BY relname
    ) AS aperture_tables
FROM (SELECT) AS one
LEFT JOIN pg_class AS records
    ON records.relname = 'aperture_migrations'
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
