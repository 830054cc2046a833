-- Every foreign key between tables that are not PostgreSQL's own. is_indexed: a usable index of
-- the referencing table starts with the key's columns, so that the checks after a DELETE need not
-- read the whole table. Privilege: none.
SELECT
    k.conname AS name,
    k.conrelid AS table_oid,
    k.confrelid AS referenced_oid,
    ARRAY(
        SELECT a.attname::text
        FROM unnest(k.conkey) WITH ORDINALITY AS key (number, position)
        JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = key.number
        ORDER BY key.position
    ) AS columns,
    ARRAY(
        SELECT a.attname::text
        FROM unnest(k.confkey) WITH ORDINALITY AS key (number, position)
        JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = key.number
        ORDER BY key.position
    ) AS referenced_columns,
    CASE k.confdeltype
        WHEN 'a' THEN 'NO ACTION'
        WHEN 'r' THEN 'RESTRICT'
        WHEN 'c' THEN 'CASCADE'
        WHEN 'n' THEN 'SET NULL'
        ELSE 'SET DEFAULT'
    END AS on_delete,
    k.convalidated AS is_validated,
    NOT EXISTS (
        SELECT
        FROM pg_attribute AS a
        WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) AND NOT a.attnotnull
    ) AS is_never_null,
    EXISTS (
        SELECT
        FROM pg_index AS i
        WHERE i.indrelid = k.conrelid
            AND i.indisvalid
            -- A partial index serves when it only leaves out rows without the key.
            AND (
                i.indpred IS NULL
                OR pg_get_expr(i.indpred, i.indrelid) = format(
                    '(%%I IS NOT NULL)',
                    (
                        SELECT a.attname
                        FROM pg_attribute AS a
                        WHERE a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
                    )
                )
            )
            -- indkey counts from 0.
            AND (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey
            AND k.conkey @> (i.indkey::smallint[])[0:cardinality(k.conkey) - 1]
    ) AS is_indexed
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE k.contype = 'f'
    AND n.nspname <> 'information_schema'
    AND n.nspname !~ '^pg_'
ORDER BY n.nspname, c.relname, k.conname
