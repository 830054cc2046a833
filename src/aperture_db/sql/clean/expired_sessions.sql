-- Logins that have ended; Aperture deletes one only when its cookie is shown again.
-- Privilege: SELECT on sessions.
SELECT {columns}
FROM sessions AS doomed
WHERE doomed.expires_at < now()
