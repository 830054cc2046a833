-- Rows of one table. Privilege: SELECT on one of its columns.
SELECT {source}::text AS source, NULL::text AS detail, count(*) AS rows FROM {table}
