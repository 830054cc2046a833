-- How many rows there are, and the stored width of their values. Privilege: that of the query.
SELECT count(*) AS rows, coalesce(sum(measured.width), 0)::bigint AS width_bytes
FROM ({rows}) AS measured (width)
