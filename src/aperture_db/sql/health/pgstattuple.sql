-- Whether the space inside tables can be known: the extension pgstattuple, its schema, and whether
-- the role may use it. Privilege: none.
SELECT
    n.nspname::text AS schema,
    has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE') AS may_use
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
JOIN pg_proc AS p ON p.pronamespace = n.oid AND p.proname = 'pgstattuple_approx'
WHERE e.extname = 'pgstattuple'
