-- Constraints that were never checked against the rows that were there. One that is not enforced
-- (from 18 on) is so on purpose. Privilege: none.
SELECT
    k.conname::text AS constraint_name,
    quote_ident(k.conname) AS name,
    k.conrelid::regclass::text AS table_name,
    CASE k.contype WHEN 'f' THEN 'foreign key' WHEN 'c' THEN 'check' ELSE 'not null' END AS kind
FROM pg_constraint AS k
JOIN pg_namespace AS n ON n.oid = k.connamespace
WHERE NOT k.convalidated
    AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
    AND k.conrelid <> 0
    AND n.nspname !~ '^pg_'
ORDER BY table_name, name
