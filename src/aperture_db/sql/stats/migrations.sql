-- The newest recorded migration and their number. Privilege: SELECT on aperture_migrations.
SELECT 'migrations' AS source, max(name) AS detail, count(*) AS rows FROM aperture_migrations
