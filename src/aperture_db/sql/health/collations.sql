-- Collations that indexes use and whose rules have changed since. Privilege: none.
SELECT
    c.oid::regcollation::text AS name,
    c.collversion AS built_with,
    pg_collation_actual_version(c.oid) AS present
FROM pg_collation AS c
WHERE c.collversion IS NOT NULL
    AND c.collversion IS DISTINCT FROM pg_collation_actual_version(c.oid)
    AND EXISTS (SELECT FROM pg_index AS i WHERE c.oid = ANY (i.indcollation))
ORDER BY name
