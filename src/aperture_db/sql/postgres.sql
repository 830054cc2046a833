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

-- name: lacking_privileges
-- What this role lacks on the relation of a name, in Aperture's schema, the tool's own, or another:
-- to read it, and with `writes` to change its rows. Privilege: none.
SELECT
    n.nspname::text AS schema_name,
    ARRAY(
        SELECT wanted.privilege
        FROM (
            VALUES (1, 'SELECT', false), (2, 'INSERT', true), (3, 'UPDATE', true), (4, 'DELETE', true),
                (5, 'USAGE', true)
        ) AS wanted (position, privilege, is_for_writing)
        WHERE (%(writes)s OR NOT wanted.is_for_writing)
            AND CASE
                WHEN c.relkind = 'S' AND wanted.privilege IN ('SELECT', 'UPDATE', 'USAGE')
                THEN NOT has_sequence_privilege(c.oid, wanted.privilege)
                WHEN c.relkind <> 'S' AND wanted.privilege <> 'USAGE'
                THEN NOT has_table_privilege(c.oid, wanted.privilege)
                ELSE false
            END
        ORDER BY wanted.position
    ) AS privileges,
    has_schema_privilege(n.oid, 'USAGE') AS may_enter,
    CASE WHEN c.relkind = 'S' THEN 'SEQUENCE ' ELSE '' END AS kind
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname = %(name)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
ORDER BY
    has_schema_privilege(n.oid, 'USAGE')
        AND CASE
            WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
            ELSE has_table_privilege(c.oid, 'SELECT')
                AND (NOT %(writes)s OR has_table_privilege(c.oid, 'INSERT'))
        END,
    n.nspname <> %(schema)s,
    n.nspname
LIMIT 1

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

-- name: timeline
-- The timeline of a primary, as the names of its WAL files begin.
-- Privilege: none; an error on a standby.
SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)

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
-- about it. What row-level security keeps from the role it can't read, update or delete: the session
-- contract makes that an error. Waits for no lock on the tables. Privilege: none.
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
    n.nspname = {schema_name} AS is_visible,
    c.relispopulated AS is_populated,
    has_schema_privilege(n.oid, 'USAGE') AS may_enter_schema,
    row_security_active(c.oid) AS hides_rows,
    c.relforcerowsecurity AS hides_from_owner,
    has_schema_privilege(n.oid, 'USAGE')
        AND has_table_privilege(c.oid, 'SELECT')
        AND NOT row_security_active(c.oid) AS may_select,
    has_schema_privilege(n.oid, 'USAGE')
        AND has_any_column_privilege(c.oid, 'SELECT')
        AND NOT row_security_active(c.oid) AS may_count,
    has_table_privilege(c.oid, 'UPDATE') AND NOT row_security_active(c.oid) AS may_update,
    has_table_privilege(c.oid, 'DELETE') AND NOT row_security_active(c.oid) AS may_delete,
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

-- name: attachments
-- Everything that hangs on the given tables, with the statement that makes it again; names are
-- written for the search_path in force. The kinds follow the order in which they can be made.
-- Not here: the tables' own columns' types and defaults, owners, privileges. Privilege: none
-- (security labels and publications are readable by all).
WITH tables AS (
    SELECT c.*, c.oid::regclass::text AS identity, n.nspname AS schema, c.relname AS name
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = ANY (%(tables)s::oid[])
),
columns AS (
    SELECT a.*, t.identity, y.typstorage, y.typcollation
    FROM pg_attribute AS a
    JOIN tables AS t ON t.oid = a.attrelid
    LEFT JOIN pg_type AS y ON y.oid = a.atttypid
    WHERE a.attnum > 0 AND NOT a.attisdropped
),
triggers AS (
    SELECT g.*, t.identity
    FROM pg_trigger AS g
    JOIN tables AS t ON t.oid = g.tgrelid
    WHERE NOT g.tgisinternal AND g.tgparentid = 0
),
rules AS (
    SELECT r.*, t.identity
    FROM pg_rewrite AS r
    JOIN tables AS t ON t.oid = r.ev_class
    WHERE r.rulename <> '_RETURN'
),
indexes AS (
    SELECT i.*, t.identity, i.indexrelid::regclass::text AS index_identity, c.relname,
        k.oid AS constraint_oid
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN tables AS t ON t.oid = i.indrelid
    LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
    WHERE i.indisvalid AND NOT c.relispartition
),
constraints AS (
    SELECT k.*, t.identity
    FROM pg_constraint AS k
    JOIN tables AS t ON t.oid = k.conrelid
    WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0 AND k.conislocal
),
policies AS (
    SELECT p.*, t.identity
    FROM pg_policy AS p
    JOIN tables AS t ON t.oid = p.polrelid
),
statistics AS (
    SELECT s.*, t.identity, format('%%I.%%I', n.nspname, s.stxname) AS statistics_identity
    FROM pg_statistic_ext AS s
    JOIN pg_namespace AS n ON n.oid = s.stxnamespace
    JOIN tables AS t ON t.oid = s.stxrelid
),
-- Objects with comments: the kind and the name as COMMENT takes them.
commented (class_oid, oid, number, table_oid, name, target) AS (
    SELECT 'pg_class'::regclass, oid, 0, oid, name, 'TABLE ' || identity FROM tables
    UNION ALL
    SELECT
        'pg_class'::regclass, attrelid, attnum, attrelid, attname,
        format('COLUMN %%s.%%I', identity, attname)
    FROM columns
    UNION ALL
    SELECT
        'pg_class'::regclass, indexrelid, 0, indrelid, relname, 'INDEX ' || index_identity
    FROM indexes
    UNION ALL
    SELECT
        'pg_constraint'::regclass, oid, 0, conrelid, conname,
        format('CONSTRAINT %%I ON %%s', conname, identity)
    FROM constraints
    UNION ALL
    SELECT
        'pg_trigger'::regclass, oid, 0, tgrelid, tgname,
        format('TRIGGER %%I ON %%s', tgname, identity)
    FROM triggers
    UNION ALL
    SELECT
        'pg_rewrite'::regclass, oid, 0, ev_class, rulename,
        format('RULE %%I ON %%s', rulename, identity)
    FROM rules
    UNION ALL
    SELECT
        'pg_policy'::regclass, oid, 0, polrelid, polname,
        format('POLICY %%I ON %%s', polname, identity)
    FROM policies
    UNION ALL
    SELECT
        'pg_statistic_ext'::regclass, oid, 0, stxrelid, stxname,
        'STATISTICS ' || statistics_identity
    FROM statistics
),
attachments (step, kind, table_oid, name, column_numbers, statement, comment, owner) AS (
    SELECT
        1, 'column', attrelid, attname, ARRAY[attnum],
        format(
            'ALTER TABLE %%s ADD COLUMN %%I %%s%%s%%s%%s', identity, attname,
            format_type(atttypid, atttypmod),
            CASE
                WHEN attcollation <> typcollation
                    THEN ' COLLATE ' || attcollation::regcollation::text
            END,
            CASE
                WHEN attidentity = 'a' THEN ' GENERATED ALWAYS AS IDENTITY'
                WHEN attidentity = 'd' THEN ' GENERATED BY DEFAULT AS IDENTITY'
                WHEN attgenerated = 's'
                    THEN format(' GENERATED ALWAYS AS (%%s) STORED', pg_get_expr(adbin, adrelid))
                WHEN attgenerated = 'v'
                    THEN format(' GENERATED ALWAYS AS (%%s) VIRTUAL', pg_get_expr(adbin, adrelid))
                WHEN adbin IS NOT NULL THEN ' DEFAULT ' || pg_get_expr(adbin, adrelid)
            END,
            CASE WHEN attnotnull THEN ' NOT NULL' END
        ),
        NULL, NULL::oid
    FROM columns
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    UNION ALL
    SELECT
        CASE contype WHEN 'f' THEN 3 ELSE 2 END, 'constraint', conrelid, conname, conkey,
        format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', identity, conname, pg_get_constraintdef(oid)),
        NULL, NULL
    FROM constraints
    UNION ALL
    SELECT 2, 'index', indrelid, relname, indkey::int2[], pg_get_indexdef(indexrelid), NULL, NULL
    FROM indexes
    WHERE constraint_oid IS NULL
    UNION ALL
    SELECT
        3, 'statistics', stxrelid, stxname, stxkeys::int2[], pg_get_statisticsobjdef(oid), NULL, NULL
    FROM statistics
    UNION ALL
    SELECT 4, 'rule', ev_class, rulename, NULL, pg_get_ruledef(oid), NULL, NULL FROM rules
    UNION ALL
    SELECT 4, 'trigger', tgrelid, tgname, tgattr::int2[], pg_get_triggerdef(oid), NULL, NULL
    FROM triggers
    UNION ALL
    SELECT
        4, 'policy', polrelid, polname, NULL,
        format(
            'CREATE POLICY %%I ON %%s AS %%s FOR %%s TO %%s%%s%%s', polname, identity,
            CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
            CASE polcmd
                WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                WHEN 'd' THEN 'DELETE' ELSE 'ALL'
            END,
            (
                SELECT string_agg(
                    CASE role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END, ', '
                )
                FROM unnest(polroles) AS r (role)
            ),
            ' USING (' || pg_get_expr(polqual, polrelid) || ')',
            ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')'
        ),
        NULL, NULL
    FROM policies
    UNION ALL
    SELECT 5, 'row-level security', oid, '', NULL,
        format('ALTER TABLE %%s ENABLE ROW LEVEL SECURITY', identity), NULL, NULL
    FROM tables
    WHERE relrowsecurity
    UNION ALL
    SELECT 5, 'forced row-level security', oid, '', NULL,
        format('ALTER TABLE %%s FORCE ROW LEVEL SECURITY', identity), NULL, NULL
    FROM tables
    WHERE relforcerowsecurity
    UNION ALL
    SELECT 5, 'state of trigger', tgrelid, tgname, NULL,
        format(
            'ALTER TABLE %%s %%s TRIGGER %%I', identity,
            CASE tgenabled
                WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS'
            END,
            tgname
        ),
        NULL, NULL
    FROM triggers
    WHERE tgenabled <> 'O'
    UNION ALL
    SELECT 5, 'state of rule', ev_class, rulename, NULL,
        format(
            'ALTER TABLE %%s %%s RULE %%I', identity,
            CASE ev_enabled
                WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS'
            END,
            rulename
        ),
        NULL, NULL
    FROM rules
    WHERE ev_enabled <> 'O'
    UNION ALL
    SELECT 5, 'replica identity', t.oid, '', NULL,
        format('ALTER TABLE %%s REPLICA IDENTITY %%s', t.identity,
            CASE t.relreplident
                WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
                ELSE 'USING INDEX ' || quote_ident(i.relname)
            END
        ),
        NULL, NULL
    FROM tables AS t
    LEFT JOIN indexes AS i ON i.indrelid = t.oid AND i.indisreplident
    WHERE t.relreplident <> 'd'
    UNION ALL
    SELECT 5, 'order of CLUSTER', indrelid, '', NULL,
        format('ALTER TABLE %%s CLUSTER ON %%I', identity, relname), NULL, NULL
    FROM indexes
    WHERE indisclustered
    UNION ALL
    SELECT 5, 'statistics target of column', attrelid, attname, ARRAY[attnum],
        format('ALTER TABLE %%s ALTER COLUMN %%I SET STATISTICS %%s', identity, attname, attstattarget),
        NULL, NULL
    FROM columns
    WHERE attstattarget >= 0
    UNION ALL
    SELECT 5, 'statistics target of index', i.indrelid, i.relname || ' ' || a.attnum, NULL,
        format(
            'ALTER INDEX %%s ALTER COLUMN %%s SET STATISTICS %%s', i.index_identity, a.attnum,
            a.attstattarget
        ),
        NULL, NULL
    FROM indexes AS i
    JOIN pg_attribute AS a ON a.attrelid = i.indexrelid AND a.attstattarget >= 0
    UNION ALL
    SELECT 5, 'target of statistics', stxrelid, stxname, NULL,
        format('ALTER STATISTICS %%s SET STATISTICS %%s', statistics_identity, stxstattarget), NULL, NULL
    FROM statistics
    WHERE stxstattarget >= 0
    UNION ALL
    SELECT 5, 'storage of column', attrelid, attname, ARRAY[attnum],
        format(
            'ALTER TABLE %%s ALTER COLUMN %%I SET STORAGE %%s', identity, attname,
            CASE attstorage
                WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN'
                ELSE 'EXTENDED'
            END
        ),
        NULL, NULL
    FROM columns
    WHERE attstorage <> typstorage
    UNION ALL
    SELECT 5, 'compression of column', attrelid, attname, ARRAY[attnum],
        format(
            'ALTER TABLE %%s ALTER COLUMN %%I SET COMPRESSION %%s', identity, attname,
            CASE attcompression WHEN 'l' THEN 'lz4' ELSE 'pglz' END
        ),
        NULL, NULL
    FROM columns
    WHERE attcompression IN ('l', 'p')
    UNION ALL
    SELECT 5, 'option of column', attrelid, attname || ' ' || o.option_name, ARRAY[attnum],
        format(
            'ALTER TABLE %%s ALTER COLUMN %%I SET (%%s = %%L)', identity, attname,
            o.option_name, o.option_value
        ),
        NULL, NULL
    FROM columns
    CROSS JOIN LATERAL pg_options_to_table(attoptions) AS o
    UNION ALL
    SELECT 5, 'storage parameter', t.oid, o.option_name, NULL,
        format('ALTER TABLE %%s SET (%%s = %%L)', t.identity, o.option_name, o.option_value), NULL, NULL
    FROM tables AS t
    CROSS JOIN LATERAL pg_options_to_table(t.reloptions) AS o
    UNION ALL
    SELECT 5, 'storage parameter', t.oid, 'toast.' || o.option_name, NULL,
        format('ALTER TABLE %%s SET (toast.%%s = %%L)', t.identity, o.option_name, o.option_value),
        NULL, NULL
    FROM tables AS t
    JOIN pg_class AS c ON c.oid = t.reltoastrelid
    CROSS JOIN LATERAL pg_options_to_table(c.reloptions) AS o
    UNION ALL
    SELECT 6, 'publication', t.oid, p.pubname, r.columns,
        format(
            'ALTER PUBLICATION %%I ADD TABLE ONLY %%s%%s%%s', p.pubname, t.identity,
            (
                SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname) || ')'
                FROM columns AS a
                WHERE a.attrelid = t.oid AND a.attnum = ANY (r.columns)
            ),
            (
                SELECT ' WHERE (' || (to_jsonb(v) ->> 'rowfilter') || ')'
                FROM pg_publication_tables AS v
                WHERE v.pubname = p.pubname AND v.schemaname = t.schema AND v.tablename = t.name
            )
        ),
        NULL, p.pubowner
    FROM (
        -- Servers before 15 know neither lists of columns nor filters.
        SELECT
            prpubid, prrelid,
            CASE
                WHEN jsonb_typeof(to_jsonb(pr) -> 'prattrs') = 'array' THEN ARRAY(
                    SELECT number::int2
                    FROM jsonb_array_elements_text(to_jsonb(pr) -> 'prattrs') AS number
                )
            END AS columns
        FROM pg_publication_rel AS pr
    ) AS r
    JOIN pg_publication AS p ON p.oid = r.prpubid
    JOIN tables AS t ON t.oid = r.prrelid
    UNION ALL
    SELECT 7, 'comment', c.table_oid, c.target, ARRAY[nullif(c.number, 0)]::int2[],
        format('COMMENT ON %%s IS %%L', c.target, d.description), d.description, NULL
    FROM commented AS c
    JOIN pg_description AS d
        ON d.classoid = c.class_oid AND d.objoid = c.oid AND d.objsubid = c.number
    UNION ALL
    SELECT 7, 'security label', c.table_oid, l.provider || ' ' || c.target,
        ARRAY[nullif(c.number, 0)]::int2[],
        format('SECURITY LABEL FOR %%I ON %%s IS %%L', l.provider, c.target, l.label), NULL, NULL
    FROM commented AS c
    JOIN pg_seclabel AS l
        ON l.classoid = c.class_oid AND l.objoid = c.oid AND l.objsubid = c.number
)
SELECT
    w.kind,
    t.schema,
    t.name AS table_name,
    w.name::text,
    ARRAY(
        SELECT a.attname::text
        FROM columns AS a
        WHERE a.attrelid = t.oid AND a.attnum = ANY (w.column_numbers)
    ) AS columns,
    w.statement,
    w.comment,
    CASE
        WHEN w.owner IS NOT NULL AND NOT pg_has_role(w.owner, 'USAGE')
            THEN pg_get_userbyid(w.owner)::text
    END AS foreign_owner
FROM attachments AS w
JOIN tables AS t ON t.oid = w.table_oid
ORDER BY w.step, t.schema, t.name, w.name

-- name: build_memory
-- What building the HNSW indexes of a table needs: the size of its largest vectors, and settings as
-- they are. A column without a known dimension counts 0. Privilege: none.
SELECT
    coalesce(
        max(
            CASE t.typname
                WHEN 'vector' THEN a.atttypmod * 4
                WHEN 'halfvec' THEN a.atttypmod * 2
                WHEN 'bit' THEN a.atttypmod / 8
            END
        ),
        0
    ) AS value_bytes,
    greatest(c.reltuples, 0)::bigint AS row_count,
    pg_size_bytes(current_setting('maintenance_work_mem')) AS own_bytes,
    (
        SELECT source = 'default' FROM pg_settings WHERE name = 'maintenance_work_mem'
    ) AS is_default,
    current_setting('max_parallel_maintenance_workers') AS own_workers
FROM pg_class AS c
LEFT JOIN pg_attribute AS a
    ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypmod > 0
LEFT JOIN pg_type AS t ON t.oid = a.atttypid AND t.typname IN ('vector', 'halfvec', 'bit')
WHERE c.oid = %(table)s
GROUP BY c.oid

-- name: triggers_of_functions
-- Enabled triggers and event triggers whose functions have one of these names, event triggers
-- first: how to disable them, and the owners of the functions. Privilege: none.
SELECT what, disable, p.oid::regprocedure::text, pg_get_userbyid(p.proowner)
FROM (
    SELECT
        0 AS rank,
        format('the event trigger %%I', evtname) AS what,
        format('ALTER EVENT TRIGGER %%I DISABLE;', evtname) AS disable,
        evtfoid AS function
    FROM pg_event_trigger
    WHERE evtenabled <> 'D'
    UNION ALL
    SELECT
        1,
        format('the trigger %%I on %%s', tgname, tgrelid::regclass),
        format('ALTER TABLE %%s DISABLE TRIGGER %%I;', tgrelid::regclass, tgname),
        tgfoid
    FROM pg_trigger
    WHERE NOT tgisinternal AND tgenabled <> 'D'
) AS found
JOIN pg_proc AS p ON p.oid = found.function
WHERE p.proname = ANY (%(names)s)
ORDER BY rank, what
LIMIT 3

-- name: read_only
-- Purpose: whether the server is a standby, whether default_transaction_read_only is on, and the
-- statement that lifts it; NULL where the connection itself sets it. Privilege: none.
SELECT
    pg_is_in_recovery(),
    setting = 'on',
    CASE source
        WHEN 'database' THEN
            format('ALTER DATABASE %%I RESET default_transaction_read_only;', current_database())
        WHEN 'user' THEN
            format('ALTER ROLE %%I RESET default_transaction_read_only;', session_user)
        WHEN 'database user' THEN
            format(
                'ALTER ROLE %%I IN DATABASE %%I RESET default_transaction_read_only;',
                session_user, current_database()
            )
        WHEN 'global' THEN 'ALTER ROLE ALL RESET default_transaction_read_only;'
        WHEN 'client' THEN NULL
        ELSE 'ALTER SYSTEM SET default_transaction_read_only = off; SELECT pg_reload_conf();'
    END
FROM pg_settings
WHERE name = 'default_transaction_read_only'

-- name: refused_object
-- Purpose: the English message about a missing privilege, from the words of one in another
-- language: the longest name among them of an object that the role may not use, else of one that it
-- does not own.
-- Privilege: none.
SELECT problem || ' ' || kind || ' ' || name
FROM (
    SELECT
        CASE WHEN NOT has_table_privilege(c.oid, 'SELECT') OR (%(writes)s AND NOT (
            has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
            AND has_table_privilege(c.oid, 'DELETE') AND has_table_privilege(c.oid, 'TRUNCATE')
        )) THEN 'permission denied for' ELSE 'must be owner of' END AS problem,
        CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'table' END,
        c.relname::text,
        pg_has_role(c.relowner, 'USAGE')
    FROM pg_class AS c
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL
    SELECT
        CASE WHEN has_sequence_privilege(c.oid, 'SELECT') AND has_sequence_privilege(c.oid, 'USAGE')
        THEN 'must be owner of' ELSE 'permission denied for' END,
        'sequence',
        c.relname::text,
        pg_has_role(c.relowner, 'USAGE')
    FROM pg_class AS c
    WHERE c.relkind = 'S'
    UNION ALL
    SELECT
        CASE WHEN NOT has_schema_privilege(oid, 'USAGE')
            OR (%(writes)s AND NOT has_schema_privilege(oid, 'CREATE'))
        THEN 'permission denied for' ELSE 'must be owner of' END,
        'schema',
        nspname::text,
        pg_has_role(nspowner, 'USAGE')
    FROM pg_namespace
    UNION ALL
    SELECT
        CASE WHEN has_function_privilege(oid, 'EXECUTE')
        THEN 'must be owner of' ELSE 'permission denied for' END,
        'function',
        proname::text,
        pg_has_role(proowner, 'USAGE')
    FROM pg_proc
    UNION ALL
    SELECT
        CASE WHEN has_database_privilege(oid, 'CREATE')
        THEN 'must be owner of' ELSE 'permission denied for' END,
        'database',
        datname::text,
        pg_has_role(datdba, 'USAGE')
    FROM pg_database
    WHERE datname = current_database()
) AS object (problem, kind, name, is_owner)
WHERE NOT is_owner AND position(' ' || name || ' ' IN %(words)s) > 0
ORDER BY problem DESC, length(name) DESC
LIMIT 1
