-- The ratings that go: how many, and of those from Trakt how many belong to users who are not
-- connected to it. Privilege: SELECT on user_ratings and users.
SELECT
    r.source,
    count(*) AS rows,
    count(*) FILTER (WHERE NOT {is_connected}) AS unconnected_rows
FROM (SELECT user_id, source FROM {ratings} WHERE {going}) AS r
JOIN {users} AS u ON u.id = r.user_id
GROUP BY r.source
ORDER BY r.source
