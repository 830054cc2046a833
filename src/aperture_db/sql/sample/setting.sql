-- Purpose: writes one setting, over an existing value.
-- Privilege: INSERT and UPDATE on system_settings.
INSERT INTO system_settings (key, value)
VALUES (%(key)s, %(value)s)
ON CONFLICT (key) DO UPDATE SET value = excluded.value
