-- Where backups go, when that is not Aperture's default. Privilege: SELECT on backup_config.
SELECT backup_path FROM {table} WHERE id = 1 AND backup_path <> '/backups'
