-- name: dependents
-- Objects that DROP with CASCADE of the given ones would drop, too, and that are not a part of them:
-- a view on a table, a foreign key of another table. Privilege: none.
WITH RECURSIVE parts (classid, objid) AS (
    SELECT * FROM unnest(%(class_oids)s::oid[], %(oids)s::oid[])
    UNION
    SELECT d.classid, d.objid
    FROM pg_depend AS d
    JOIN parts AS p ON p.classid = d.refclassid AND p.objid = d.refobjid
    WHERE d.deptype IN ('a', 'i', 'P', 'S')
)
SELECT DISTINCT
    coalesce(
        (
            SELECT pg_describe_object('pg_class'::regclass, r.ev_class, 0)
            FROM pg_rewrite AS r
            WHERE d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        ),
        pg_describe_object(d.classid, d.objid, d.objsubid)
    ) AS dependent
FROM pg_depend AS d
JOIN parts AS p ON p.classid = d.refclassid AND p.objid = d.refobjid
WHERE d.deptype = 'n'
    AND NOT EXISTS (
        SELECT FROM parts AS q WHERE q.classid = d.classid AND q.objid = d.objid
    )
ORDER BY dependent

-- name: extensions
-- The schemas of the given extensions, and their availability. Privilege: none.
SELECT
    wanted.name,
    n.nspname AS schema,
    EXISTS (SELECT FROM pg_available_extensions AS a WHERE a.name = wanted.name) AS is_available
FROM unnest(%(names)s::text[]) AS wanted (name)
LEFT JOIN pg_extension AS e ON e.extname = wanted.name
LEFT JOIN pg_namespace AS n ON n.oid = e.extnamespace

-- name: functions_without_path
-- Functions that this role may alter and that look up names in the search_path of whoever calls
-- them. Bodies in standard SQL are parsed already. Privilege: none.
SELECT p.oid::regprocedure::text
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prokind = 'f'
    AND l.lanname NOT IN ('c', 'internal')
    AND p.prosqlbody IS NULL
    AND n.nspname <> 'information_schema'
    AND n.nspname !~ '^pg_'
    AND pg_has_role(p.proowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS s WHERE s LIKE 'search_path=%%')
    AND NOT EXISTS (
        SELECT
        FROM pg_depend AS d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    )

-- name: objects
-- The objects of the database that belong to no extension: tables, views, sequences that no table
-- owns, functions and types. Privilege: none.
WITH objects (classid, objid, namespace, name, owner, is_visible, is_populated_table) AS (
    SELECT
        'pg_class'::regclass, oid, relnamespace, relname, relowner,
        relnamespace = to_regnamespace(quote_ident({schema_name})),
        relkind IN ('r', 'p')
    FROM pg_class
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relpersistence <> 't'
    UNION ALL
    SELECT
        'pg_proc'::regclass, oid, pronamespace, proname, proowner,
        pronamespace = to_regnamespace(quote_ident({schema_name})),
        false
    FROM pg_proc
    UNION ALL
    SELECT
        'pg_type'::regclass, t.oid, t.typnamespace, t.typname, t.typowner,
        t.typnamespace = to_regnamespace(quote_ident({schema_name})), false
    FROM pg_type AS t
    LEFT JOIN pg_class AS c ON c.oid = t.typrelid
    WHERE t.typtype IN ('d', 'e', 'r') OR c.relkind = 'c'
)
SELECT
    o.classid::oid AS class_oid,
    o.objid AS oid,
    upper(i.type) AS kind,
    n.nspname AS schema,
    o.name,
    i.identity,
    pg_get_userbyid(o.owner) AS owner,
    pg_has_role(o.owner, 'USAGE') AS may_drop,
    o.is_visible,
    o.is_populated_table AS is_table
FROM objects AS o
JOIN pg_namespace AS n ON n.oid = o.namespace
CROSS JOIN LATERAL pg_identify_object(o.classid, o.objid, 0) AS i
WHERE n.nspname <> 'information_schema'
    AND n.nspname !~ '^pg_'
    -- e: belongs to an extension; a, i: is dropped with another object, as a table's sequence is.
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = o.classid
            AND d.objid = o.objid
            AND d.objsubid = 0
            AND d.deptype IN ('a', 'e', 'i')
    )
ORDER BY n.nspname, i.identity

-- name: server
-- The state of the server, and this role's privilege to create schemas. Privilege: none.
SELECT
    current_setting('server_version') AS version,
    current_user AS role,
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser,
    pg_is_in_recovery() AS is_standby,
    current_setting('transaction_read_only') = 'on' AS is_read_only,
    has_database_privilege(current_database(), 'CREATE') AS may_create_schemas,
    ARRAY(SELECT nspname::text FROM pg_namespace) AS schemas,
    ARRAY(
        SELECT spcname::text FROM pg_tablespace WHERE has_tablespace_privilege(oid, 'CREATE')
    ) AS tablespaces,
    ARRAY(SELECT amname::text FROM pg_am WHERE amtype = 't') AS access_methods

-- name: sessions
-- The other sessions of this database. Privilege: pg_monitor (or pg_read_all_stats) to see more
-- than pid, user and application of other users' sessions.
SELECT
    pid,
    coalesce(application_name, '') AS application,
    coalesce(usename, '') AS "user",
    coalesce(host(client_addr), '') AS client,
    coalesce(state, '') AS state,
    extract(epoch FROM clock_timestamp() - backend_start)::float8 AS age_seconds
FROM pg_stat_activity
WHERE datname = current_database()
    AND usesysid IS NOT NULL
    AND coalesce(backend_type, 'client backend') = 'client backend'
    AND pid <> pg_backend_pid()
ORDER BY backend_start

-- name: leftover_databases
-- Scratch databases of drills that no session uses. Privilege: none.
SELECT d.datname
FROM pg_database AS d
WHERE starts_with(d.datname::text, %(prefix)s)
    AND NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.datid = d.oid)
    AND pg_has_role(d.datdba, 'USAGE')
ORDER BY d.datname

-- name: may_create_databases
-- The role, and whether it may create databases. Privilege: none.
SELECT rolname, rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user

-- name: locale
-- The encoding and locale of the database. Privilege: none.
SELECT pg_encoding_to_char(encoding), datcollate::text, datctype::text
FROM pg_database
WHERE datname = current_database()

-- name: last_migration
-- The last migration that the database records. Privilege: SELECT on aperture_migrations.
SELECT name FROM {schema}.aperture_migrations ORDER BY name COLLATE "C" DESC LIMIT 1

-- name: structure
-- The definitions of what the given schemas hold, extensions' parts left out. Privilege: none.
WITH parts (classid, objid) AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
),
tables AS (
    SELECT c.oid, format('%%I.%%I', n.nspname, c.relname) AS name, c.relkind
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY (%(schemas)s)
        AND c.relkind IN ('r', 'p', 'v', 'm')
        AND NOT EXISTS (
            SELECT FROM parts AS p WHERE p.classid = 'pg_class'::regclass AND p.objid = c.oid
        )
)
SELECT
    'column' AS kind,
    t.name || '.' || quote_ident(a.attname) AS name,
    concat_ws(
        ' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
        pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated
    ) AS definition
FROM tables AS t
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = t.oid AND d.adnum = a.attnum
UNION ALL
SELECT 'constraint', t.name || ' ' || quote_ident(k.conname), pg_get_constraintdef(k.oid)
FROM tables AS t
JOIN pg_constraint AS k ON k.conrelid = t.oid AND k.contype <> 'n'
UNION ALL
SELECT 'index', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
FROM tables AS t
JOIN pg_index AS i ON i.indrelid = t.oid
UNION ALL
SELECT 'trigger', t.name || ' ' || quote_ident(g.tgname), pg_get_triggerdef(g.oid)
FROM tables AS t
JOIN pg_trigger AS g ON g.tgrelid = t.oid AND NOT g.tgisinternal
UNION ALL
SELECT 'view', t.name, pg_get_viewdef(t.oid)
FROM tables AS t
WHERE t.relkind IN ('v', 'm')
UNION ALL
SELECT 'function', f.oid::regprocedure::text, pg_get_functiondef(f.oid)
FROM pg_proc AS f
JOIN pg_namespace AS n ON n.oid = f.pronamespace
WHERE n.nspname = ANY (%(schemas)s)
    AND f.prokind IN ('f', 'p')
    AND NOT EXISTS (
        SELECT FROM parts AS p WHERE p.classid = 'pg_proc'::regclass AND p.objid = f.oid
    )
UNION ALL
SELECT
    'type', format('%%I.%%I', n.nspname, y.typname),
    (
        SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder)
        FROM pg_enum AS e
        WHERE e.enumtypid = y.oid
    )
FROM pg_type AS y
JOIN pg_namespace AS n ON n.oid = y.typnamespace
WHERE n.nspname = ANY (%(schemas)s)
    AND y.typtype = 'e'
    AND NOT EXISTS (
        SELECT FROM parts AS p WHERE p.classid = 'pg_type'::regclass AND p.objid = y.oid
    )

-- name: subscriptions
-- The subscriptions that fill some of these tables. Privilege: none.
SELECT DISTINCT s.subname::text
FROM pg_subscription_rel AS r
JOIN pg_subscription AS s ON s.oid = r.srsubid
WHERE r.srrelid = ANY (%(tables)s::oid[])
ORDER BY 1
