-- What would be dropped along with the given objects although it is not a part of any of them:
-- somebody's view on a table, a foreign key from another table. Privilege: none.
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
