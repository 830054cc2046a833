-- The time since the first migration, which the database is at least as old as, unless it was
-- restored. Privilege: SELECT on aperture_migrations.
SELECT extract(epoch FROM clock_timestamp() - min(applied_at))::float8 AS counted_seconds
FROM aperture_migrations
