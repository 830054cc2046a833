-- The privileges that others than the owner hold on the given tables, views and sequences, and on
-- the sequences that the tables own. `column_name` is null for the whole object.
-- Privilege: none.
WITH relations AS (
    SELECT oid FROM unnest(%(oids)s::oid[]) AS given (oid)
    UNION
    SELECT d.objid
    FROM pg_depend AS d
    JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    WHERE d.classid = 'pg_class'::regclass
        AND d.refclassid = 'pg_class'::regclass
        AND d.refobjid = ANY (%(oids)s::oid[])
        AND d.deptype IN ('a', 'i')
),
acls (oid, column_name, acl) AS (
    SELECT c.oid, NULL::text, c.relacl FROM pg_class AS c JOIN relations USING (oid)
    UNION ALL
    SELECT a.attrelid, a.attname, a.attacl
    FROM pg_attribute AS a
    JOIN relations AS r ON r.oid = a.attrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped
)
SELECT
    n.nspname AS schema,
    c.relname AS name,
    acls.column_name,
    c.relkind = 'S' AS is_sequence,
    g.privilege_type AS privilege,
    CASE WHEN g.grantee <> 0 THEN pg_get_userbyid(g.grantee) END AS grantee,
    g.is_grantable
FROM acls
JOIN pg_class AS c USING (oid)
JOIN pg_namespace AS n ON n.oid = c.relnamespace,
    LATERAL aclexplode(acls.acl) AS g
WHERE g.grantee <> c.relowner
ORDER BY 1, 2, 3, 5
