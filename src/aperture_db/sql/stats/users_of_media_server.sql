-- Users of the media server in use: the configured one, else the only one that there are users of.
-- The detail is NULL where users of several leave it open. Privilege: SELECT on users and system_settings.
SELECT 'users_of_media_server' AS source, server.provider AS detail, count(u.id) AS rows
FROM (
    SELECT coalesce(
        (SELECT value FROM system_settings WHERE key = 'media_server_type' AND value <> ''),
        (SELECT min(provider) FROM users HAVING count(DISTINCT provider) = 1),
        (SELECT '' WHERE NOT EXISTS (SELECT FROM users))
    ) AS provider
) AS server
LEFT JOIN users AS u ON u.provider = server.provider
GROUP BY server.provider
