-- Users that Aperture works for. Privilege: SELECT on users.
SELECT 'users_enabled' AS source, NULL::text AS detail, count(*) AS rows
FROM users
WHERE is_enabled
