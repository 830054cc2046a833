"""Settings of Aperture that the tool reads, with Aperture's own defaults."""

DEFAULT_BACKUP_PATH = "/backups"
"""backup_config.backup_path, as seen from inside Aperture's container."""
DEFAULT_BACKUP_RETENTION = 7
"""backup_config.retention_count."""
