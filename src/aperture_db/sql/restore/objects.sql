-- What is in the database's own schemas and belongs to no extension: tables, views, sequences
-- that no table owns, functions and types. Privilege: none.
WITH objects (classid, objid, namespace, name, owner, is_visible, is_populated_table) AS (
    SELECT
        'pg_class'::regclass, oid, relnamespace, relname, relowner, pg_table_is_visible(oid),
        relkind IN ('r', 'p')
    FROM pg_class
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relpersistence <> 't'
    UNION ALL
    SELECT
        'pg_proc'::regclass, oid, pronamespace, proname, proowner, pg_function_is_visible(oid),
        false
    FROM pg_proc
    UNION ALL
    SELECT
        'pg_type'::regclass, t.oid, t.typnamespace, t.typname, t.typowner,
        pg_type_is_visible(t.oid), false
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
    -- e: an extension's; a, i: goes with another object, as a table's sequence does.
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = o.classid
            AND d.objid = o.objid
            AND d.objsubid = 0
            AND d.deptype IN ('a', 'e', 'i')
    )
ORDER BY n.nspname, i.identity
