-- Purpose: says that a backup was made.
-- Privilege: UPDATE on backup_config.
UPDATE backup_config
SET last_backup_at = %(backup_at)s,
    last_backup_filename = %(filename)s,
    last_backup_size_bytes = %(size_bytes)s
