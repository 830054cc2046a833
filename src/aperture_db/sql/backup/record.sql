-- Tell Aperture's page of a new backup. Privilege: UPDATE on backup_config.
UPDATE backup_config
SET last_backup_at = %(made_at)s,
    last_backup_filename = %(name)s,
    last_backup_size_bytes = %(size_bytes)s
WHERE id = 1
