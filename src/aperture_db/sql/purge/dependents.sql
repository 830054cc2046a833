-- What depends on these tables and functions without being a part of them: views, foreign keys,
-- triggers and defaults of other tables, functions. Privilege: none.
SELECT DISTINCT
    CASE
        WHEN r.oid IS NOT NULL THEN pg_describe_object('pg_class'::regclass, r.ev_class, 0)
        ELSE pg_describe_object(d.classid, d.objid, d.objsubid)
    END AS object
FROM pg_depend AS d
LEFT JOIN pg_constraint AS k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
LEFT JOIN pg_trigger AS t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
LEFT JOIN pg_attrdef AS a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
LEFT JOIN pg_policy AS y ON d.classid = 'pg_policy'::regclass AND y.oid = d.objid
LEFT JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
WHERE d.deptype = 'n'
    AND (
        (d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%(tables)s::oid[]))
        OR (d.refclassid = 'pg_proc'::regclass AND d.refobjid = ANY (%(functions)s::oid[]))
    )
    AND coalesce(k.conrelid, t.tgrelid, r.ev_class, a.adrelid, y.polrelid, c.oid, 0)
        <> ALL (%(tables)s::oid[])
    AND NOT (d.classid = 'pg_proc'::regclass AND d.objid = ANY (%(functions)s::oid[]))
ORDER BY object
