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
