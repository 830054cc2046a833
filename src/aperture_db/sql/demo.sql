-- name: backup_path
-- Purpose: sets a backup directory of the demo; the backup that the sample records does not exist.
-- Privilege: UPDATE on backup_config.
UPDATE {schema}.backup_config
SET backup_path = %(path)s,
    last_backup_at = NULL,
    last_backup_filename = NULL,
    last_backup_size_bytes = NULL

-- name: checkpoint
-- Purpose: writes changed pages to disk.
-- Privilege: pg_checkpoint.
CHECKPOINT

-- name: reload
-- Purpose: reloads the configuration files.
-- Privilege: superuser.
SELECT pg_reload_conf()

-- name: statistics_extension
-- Purpose: statistics on slow statements, so that no health check is skipped.
-- Privilege: superuser.
CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public
