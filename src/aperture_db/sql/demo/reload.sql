-- Purpose: lets the server read its configuration files again.
-- Privilege: superuser.
SELECT pg_reload_conf()
