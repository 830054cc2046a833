-- name: advisory_holders
-- Purpose: the sessions that hold an advisory lock of this database.
-- Privilege: pg_monitor (or pg_read_all_stats) to see more than the pid of other users' sessions.
SELECT
    a.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    coalesce(a.state, '') AS state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds
FROM pg_locks AS l
JOIN pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::bigint << 32) + l.objid::bigint = %(lock_key)s

-- name: blockers
-- Purpose: the sessions that a server process waits for.
-- Privilege: pg_monitor (or pg_read_all_stats) to see more than the pid of other users' sessions.
SELECT
    a.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    coalesce(a.state, '') AS state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds
FROM unnest(pg_blocking_pids(%(pid)s)) AS blocker (pid)
JOIN pg_stat_activity AS a USING (pid)
ORDER BY a.xact_start

-- name: lock_holders
-- Purpose: by table, the sessions that hold a lock on it in one of these modes, or queue for one. A
-- prepared transaction has no session and is not found.
-- Privilege: pg_monitor (or pg_read_all_stats) to see more than the pid of other users' sessions.
SELECT
    l.relation::oid AS table_oid,
    a.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    coalesce(a.state, '') AS state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds
FROM pg_stat_activity AS a
JOIN (
    SELECT relation, pid, bool_or(granted) AS is_held
    FROM pg_locks
    WHERE locktype = 'relation'
      AND relation = ANY (%(oids)s::oid[])
      AND mode = ANY (%(modes)s)
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    GROUP BY relation, pid
) AS l USING (pid)
WHERE a.pid <> pg_backend_pid()
ORDER BY l.is_held DESC, a.xact_start

-- name: sessions
-- Purpose: the other sessions of clients in this database.
-- Privilege: pg_monitor (or pg_read_all_stats) to see more than the pid of other users' sessions.
SELECT
    a.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    coalesce(a.state, '') AS state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
  AND a.usename IS NOT NULL
  AND coalesce(a.backend_type, 'client backend') = 'client backend'
  AND a.pid <> pg_backend_pid()
ORDER BY a.pid

-- name: sessions_by_pid
-- Purpose: the sessions of some server processes.
-- Privilege: pg_monitor (or pg_read_all_stats) to see more than the pid of other users' sessions.
SELECT
    a.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    coalesce(a.state, '') AS state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds
FROM pg_stat_activity AS a
WHERE a.pid = ANY (%(pids)s)

-- name: transaction_status
-- How a transaction ended: committed, aborted, in progress, or NULL when it is too long ago.
-- Privilege: none.
SELECT pg_xact_status(%(xid)s::xid8)

-- name: database
-- The connected database and its server.
-- Privilege: none; the size needs CONNECT on the database or pg_read_all_stats, else it is NULL.
SELECT
    current_database() AS name,
    current_user AS role,
    current_setting('server_version') AS server_version,
    pg_is_in_recovery() AS is_standby,
    clock_timestamp() AS read_at,
    CASE
        WHEN has_database_privilege(current_database(), 'CONNECT')
            OR pg_has_role('pg_read_all_stats', 'USAGE')
        THEN pg_database_size(current_database())
    END AS size_bytes

-- name: exclusive_locks
-- Who keeps tables of this database from being read: holders of ACCESS EXCLUSIVE, and those who
-- wait for it, because readers queue behind them too. A lock on an index or a TOAST table counts
-- for its table. Without a pid: a prepared transaction.
-- Privilege: none; pg_read_all_stats to see state and age of other users' sessions.
SELECT
    coalesce(main.oid, i.indrelid, l.relation) AS table_oid,
    l.granted AS is_held,
    l.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    coalesce(a.state, '') AS state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds
FROM pg_locks AS l
LEFT JOIN pg_index AS i ON i.indexrelid = l.relation
LEFT JOIN pg_class AS main
    ON main.reltoastrelid <> 0 AND main.reltoastrelid = coalesce(i.indrelid, l.relation)
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation'
    AND l.mode = 'AccessExclusiveLock'
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.pid IS DISTINCT FROM pg_backend_pid()
ORDER BY table_oid, l.granted DESC, l.pid

-- name: foreign_keys
-- Every foreign key between tables that are not PostgreSQL's own. is_indexed: a usable index of
-- the referencing table starts with the key's columns, so that the checks after a DELETE need not
-- read the whole table. Privilege: none.
SELECT
    k.conname AS name,
    k.conrelid AS table_oid,
    k.confrelid AS referenced_oid,
    ARRAY(
        SELECT a.attname::text
        FROM unnest(k.conkey) WITH ORDINALITY AS key (number, position)
        JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = key.number
        ORDER BY key.position
    ) AS columns,
    ARRAY(
        SELECT a.attname::text
        FROM unnest(k.confkey) WITH ORDINALITY AS key (number, position)
        JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = key.number
        ORDER BY key.position
    ) AS referenced_columns,
    CASE k.confdeltype
        WHEN 'a' THEN 'NO ACTION'
        WHEN 'r' THEN 'RESTRICT'
        WHEN 'c' THEN 'CASCADE'
        WHEN 'n' THEN 'SET NULL'
        ELSE 'SET DEFAULT'
    END AS on_delete,
    k.convalidated AS is_validated,
    NOT EXISTS (
        SELECT
        FROM pg_attribute AS a
        WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) AND NOT a.attnotnull
    ) AS is_never_null,
    EXISTS (
        SELECT
        FROM pg_index AS i
        WHERE i.indrelid = k.conrelid
            AND i.indisvalid
            -- A partial index serves when it only leaves out rows without the key.
            AND (
                i.indpred IS NULL
                OR pg_get_expr(i.indpred, i.indrelid) = format(
                    '(%%I IS NOT NULL)',
                    (
                        SELECT a.attname
                        FROM pg_attribute AS a
                        WHERE a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
                    )
                )
            )
            -- indkey counts from 0.
            AND (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey
            AND k.conkey @> (i.indkey::smallint[])[0:cardinality(k.conkey) - 1]
    ) AS is_indexed
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE k.contype = 'f'
    AND n.nspname <> 'information_schema'
    AND n.nspname !~ '^pg_'
ORDER BY n.nspname, c.relname, k.conname

-- name: sizes
-- Disk space of tables. heap + toast + index = total. An index counts with its table; the index
-- of a TOAST table counts as TOAST. Waits behind ACCESS EXCLUSIVE locks on the tables and their
-- indexes; a table that was dropped meanwhile gives no row. Privilege: none.
SELECT
    sized.oid,
    sized.table_bytes - sized.toast_bytes AS heap_bytes,
    sized.toast_bytes,
    sized.index_bytes,
    (
        SELECT coalesce(sum(pg_table_size(i.indexrelid)), 0)::bigint
        FROM pg_index AS i
        JOIN pg_class AS ic ON ic.oid = i.indexrelid
        JOIN pg_am AS am ON am.oid = ic.relam
        WHERE i.indrelid = sized.oid AND am.amname IN ('hnsw', 'ivfflat')
    ) AS vector_index_bytes,
    sized.table_bytes + sized.index_bytes AS total_bytes,
    sized.main_fork_bytes / current_setting('block_size')::integer AS pages
FROM (
    SELECT
        c.oid,
        pg_table_size(c.oid) AS table_bytes,
        CASE
            WHEN c.reltoastrelid = 0 THEN 0
            ELSE coalesce(pg_total_relation_size(c.reltoastrelid), 0)
        END AS toast_bytes,
        pg_indexes_size(c.oid) AS index_bytes,
        pg_relation_size(c.oid) AS main_fork_bytes
    FROM pg_class AS c
    WHERE c.oid = ANY (%(oids)s::oid[])
) AS sized
WHERE sized.table_bytes IS NOT NULL AND sized.index_bytes IS NOT NULL

-- name: tables
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

-- name: grant
-- Let a role do what it could before. Privilege: owner of the object.
GRANT {privilege}{column} ON {kind} {object} TO {grantee} {option}

-- name: held
-- The privileges that others than the owner hold on the given relations, on their columns, on the
-- sequences that they own, and on the given routines, which everybody may execute where nothing is
-- said. What nobody else may use is listed, too, with an empty privilege. Privilege: none.
WITH relations AS (
    SELECT oid FROM unnest(%(relations)s::oid[]) AS given (oid)
    UNION
    SELECT d.objid
    FROM pg_depend AS d
    JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    WHERE d.classid = 'pg_class'::regclass
        AND d.refclassid = 'pg_class'::regclass
        AND d.refobjid = ANY (%(relations)s::oid[])
        AND d.deptype IN ('a', 'i')
),
objects (class_oid, oid, kind, column_name, owner, acl) AS (
    SELECT
        'pg_class'::regclass, c.oid, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
        NULL, c.relowner, c.relacl
    FROM pg_class AS c
    JOIN relations USING (oid)
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, 'TABLE', a.attname::text, c.relowner, a.attacl
    FROM pg_class AS c
    JOIN relations USING (oid)
    JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'S'
    UNION ALL
    SELECT
        'pg_proc'::regclass, p.oid, 'ROUTINE', NULL, p.proowner,
        coalesce(p.proacl, acldefault('f', p.proowner))
    FROM pg_proc AS p
    WHERE p.oid = ANY (%(routines)s::oid[])
)
SELECT
    o.kind,
    i.identity,
    o.column_name,
    coalesce(g.privilege_type, '') AS privilege,
    CASE WHEN g.grantee <> 0 THEN pg_get_userbyid(g.grantee)::text END AS grantee,
    coalesce(g.is_grantable, false) AS is_grantable
FROM objects AS o
CROSS JOIN LATERAL pg_identify_object(o.class_oid, o.oid, 0) AS i
LEFT JOIN LATERAL aclexplode(o.acl) AS g ON g.grantee <> o.owner
ORDER BY 2, 3, 4, 5

-- name: revoke
-- Take a privilege away that came with making the object. Privilege: owner of the object.
REVOKE {privilege}{column} ON {kind} {object} FROM {grantee}

-- name: create_own_schema
-- Purpose: create the tool's own schema. Privilege: CREATE on the database; the creator owns it.
CREATE SCHEMA IF NOT EXISTS aperture_db;
COMMENT ON SCHEMA aperture_db IS
    'Data of the tool aperture-db: samples of stats --record, and user data that purge kept for relink';

-- name: lock_own_schema
-- Purpose: let one transaction at a time create things in the tool's own schema: IF NOT EXISTS
-- alone fails where two create the same. Privilege: none.
SELECT pg_advisory_xact_lock(hashtext('aperture_db'))

-- name: own_schema_exists
-- Purpose: tell whether the tool's own schema is there. Privilege: none.
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'aperture_db')

-- name: own_schema_privileges
-- Purpose: what the role may do with the tool's own schema and some of its tables. Privilege: none.
SELECT
    current_user,
    current_database(),
    n.oid IS NOT NULL AS schema_exists,
    has_database_privilege(current_database(), 'CREATE') AS may_create_schema,
    coalesce(
        has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'), false
    ) AS may_create_tables,
    count(c.oid) = cardinality(%(tables)s::text[]) AS has_all_tables,
    coalesce(
        has_schema_privilege(n.oid, 'USAGE')
            AND bool_and(
                has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
            ),
        true
    ) AS may_write_tables
FROM (VALUES (1)) AS always (one)
LEFT JOIN pg_namespace AS n ON n.nspname = 'aperture_db'
LEFT JOIN pg_class AS c
    ON c.relnamespace = n.oid AND c.relkind = 'r' AND c.relname = ANY (%(tables)s::text[])
GROUP BY n.oid

-- name: own_tables
-- Purpose: the tables in the tool's own schema. Privilege: none.
SELECT c.relname
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'aperture_db' AND c.relkind = 'r'
