-- Purpose: the migrations that are recorded as applied, oldest first.
-- Privilege: SELECT on aperture_migrations.
SELECT name, applied_at FROM aperture_migrations ORDER BY id
