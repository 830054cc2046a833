"""Aperture's table backup_config: its settings for backups, and the last backup."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.postgres.session import Connection


@dataclass(frozen=True)
class BackupSettings:
    """The single row of backup_config."""

    backup_path: str
    """As seen from inside Aperture's container."""
    retention_count: int


def read_settings(conn: Connection) -> BackupSettings | None:
    """None without the table, its row, or SELECT on it."""
    readable = conn.execute(
        "SELECT has_table_privilege(to_regclass('backup_config'), 'SELECT')"
    ).fetchone()
    if readable != (True,):
        return None
    with conn.cursor(row_factory=class_row(BackupSettings)) as cursor:
        return cursor.execute(
            "SELECT backup_path, retention_count FROM backup_config WHERE id = 1"
        ).fetchone()


def record_backup(conn: Connection, name: str, size_bytes: int, made_at: datetime) -> bool:
    """Record a backup as Aperture does; False without the row. Needs UPDATE on backup_config."""
    if read_settings(conn) is None:
        return False
    values = {"name": name, "size_bytes": size_bytes, "made_at": made_at}
    return conn.execute(sql.load("backup/record"), values).rowcount == 1
