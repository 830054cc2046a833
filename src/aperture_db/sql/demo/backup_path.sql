-- Purpose: leads backups to a directory of the demo; those that the sample tells of are not there.
-- Privilege: UPDATE on backup_config.
UPDATE backup_config
SET backup_path = %(path)s,
    last_backup_at = NULL,
    last_backup_filename = NULL,
    last_backup_size_bytes = NULL
