-- Functions by their bare names that no extension brought. Privilege: none.
SELECT
    p.oid,
    p.proname AS name,
    p.oid::regprocedure::text AS signature,
    pg_get_userbyid(p.proowner) AS owner,
    pg_has_role(p.proowner, 'USAGE') AS is_owner
FROM pg_proc AS p
WHERE p.proname = ANY (%(names)s)
    AND pg_function_is_visible(p.oid)
    AND NOT EXISTS (
        SELECT
        FROM pg_depend AS d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
ORDER BY signature
