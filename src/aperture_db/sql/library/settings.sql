-- Settings of Aperture by key. Privilege: SELECT on system_settings.
SELECT key, value
FROM system_settings
WHERE key = ANY (%(keys)s)
