-- The last backup that Aperture or this tool noted, and how long the installation has existed.
-- Privilege: SELECT on backup_config and aperture_migrations.
SELECT
    extract(epoch FROM clock_timestamp() - c.last_backup_at)::float8 AS age_seconds,
    c.last_backup_filename AS file_name,
    c.backup_path AS directory,
    (
        SELECT extract(epoch FROM clock_timestamp() - min(applied_at))::float8
        FROM aperture_migrations
    ) AS installed_seconds_ago
FROM backup_config AS c
WHERE c.id = 1
