-- Valid indexes that equal another one of the same table in everything but the name. Of each group
-- the one that a constraint needs stays, else the oldest. Privilege: none.
WITH alike AS (
    SELECT
        i.indexrelid,
        i.indrelid,
        k.conname,
        first_value(i.indexrelid) OVER same AS kept,
        row_number() OVER same AS position
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
    WHERE i.indisvalid AND n.nspname !~ '^pg_'
    WINDOW same AS (
        PARTITION BY
            i.indrelid, c.relam, i.indkey::text, i.indclass::text, i.indcollation::text,
            i.indoption::text, pg_get_expr(i.indexprs, i.indrelid),
            pg_get_expr(i.indpred, i.indrelid)
        ORDER BY (k.oid IS NOT NULL) DESC, i.indisunique DESC, i.indexrelid
    )
)
SELECT
    alike.indexrelid::regclass::text AS name,
    c.relname::text AS index_name,
    alike.indrelid::regclass::text AS table_name,
    alike.kept::regclass::text AS same_as,
    quote_ident(alike.conname) AS "constraint",
    pg_relation_size(alike.indexrelid) AS size_bytes
FROM alike
JOIN pg_class AS c ON c.oid = alike.indexrelid
WHERE alike.position > 1
ORDER BY name
