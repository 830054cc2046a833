-- Foreign keys that can be dropped and added again without a trace: not a partition's, and none of
-- their triggers is disabled (adding the key again would enable it). Privilege: none.
SELECT
    k.conrelid AS table_oid,
    k.conname AS name,
    pg_get_constraintdef(k.oid) AS definition,
    obj_description(k.oid, 'pg_constraint') AS comment
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_class AS r ON r.oid = k.confrelid
WHERE k.contype = 'f'
    AND k.conparentid = 0
    AND c.relkind = 'r'
    AND r.relkind = 'r'
    AND NOT EXISTS (
        SELECT FROM pg_trigger AS t WHERE t.tgconstraint = k.oid AND t.tgenabled <> 'O'
    )
