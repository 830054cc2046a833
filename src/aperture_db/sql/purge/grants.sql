-- Who but the owner may do what with these tables and the sequences that they own.
-- Privilege: none.
SELECT
    c.relkind = 'S' AS is_sequence,
    c.relname AS name,
    g.privilege_type AS privilege,
    CASE WHEN g.grantee = 0 THEN NULL ELSE pg_get_userbyid(g.grantee) END AS grantee,
    g.is_grantable
FROM pg_class AS c
CROSS JOIN LATERAL aclexplode(c.relacl) AS g
WHERE g.grantee <> c.relowner
    AND (
        c.oid = ANY (%(tables)s::oid[])
        OR (
            c.relkind = 'S'
            AND EXISTS (
                SELECT
                FROM pg_depend AS d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'a'
                    AND d.refclassid = 'pg_class'::regclass
                    AND d.refobjid = ANY (%(tables)s::oid[])
            )
        )
    )
ORDER BY c.relname, g.privilege_type
