-- name: backup_path
-- Purpose: leads backups to a directory of the demo; those that the sample tells of are not there.
-- Privilege: UPDATE on backup_config.
UPDATE backup_config
SET backup_path = %(path)s,
    last_backup_at = NULL,
    last_backup_filename = NULL,
    last_backup_size_bytes = NULL

-- name: checkpoint
-- Purpose: writes everything that is changed in memory to the files.
-- Privilege: pg_checkpoint.
CHECKPOINT

-- name: reload
-- Purpose: lets the server read its configuration files again.
-- Privilege: superuser.
SELECT pg_reload_conf()

-- name: statistics_extension
-- Purpose: statistics on slow statements, so that every health check has something to look at.
-- Privilege: superuser.
CREATE EXTENSION IF NOT EXISTS pg_stat_statements

-- name: vacuum
-- Purpose: leaves no table without statistics, as autovacuum would in time.
-- Privilege: owner of the tables.
VACUUM (ANALYZE)
