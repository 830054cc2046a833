-- The tables of this database that hold its oldest ids. Privilege: none.
SELECT c.oid::regclass::text AS name
FROM pg_class AS c
LEFT JOIN pg_class AS toast ON toast.oid = c.reltoastrelid
WHERE c.relkind IN ('r', 'm')
ORDER BY
    greatest(
        age(c.relfrozenxid), mxid_age(c.relminmxid),
        coalesce(age(toast.relfrozenxid), 0), coalesce(mxid_age(toast.relminmxid), 0)
    ) DESC
LIMIT 3
