-- How many items a query finds. Privilege: that of the query.
SELECT {source}::text AS source, NULL::text AS detail, count(*) AS rows FROM ({items}) AS item
