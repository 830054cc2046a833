-- How many of the items have an embedding of the active model. Privilege: SELECT on the tables.
SELECT {source}::text AS source, NULL::text AS detail, count(*) AS rows
FROM ({items}) AS item
WHERE item.id IN ({embedded})
