-- Rows of one table of embeddings per model. Privilege: SELECT on the table.
SELECT {source}::text AS source, model AS detail, count(*) AS rows FROM {table} GROUP BY model
