-- Where Aperture keeps its backups, how many it keeps, and what it knows of the last one.
-- Privilege: SELECT on backup_config.
SELECT
    backup_path,
    retention_count,
    last_backup_at,
    last_backup_filename,
    last_backup_size_bytes
FROM backup_config
WHERE id = 1
