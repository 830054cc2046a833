"""Aperture's settings for backups, and the records of the last ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psycopg.rows import class_row
from psycopg.sql import Identifier

from aperture_db import sql
from aperture_db.postgres.catalog import create_schema, own_tables
from aperture_db.postgres.connection import set_local
from aperture_db.postgres.session import Connection

LOCK_TIMEOUT = "10s"


@dataclass(frozen=True)
class BackupSettings:
    """The single row of backup_config."""

    backup_path: str
    """As seen from inside Aperture's container."""
    retention_count: int


def read_settings(conn: Connection) -> BackupSettings | None:
    """None without the table, its row, or SELECT on it."""
    readable = conn.execute(sql.compose("backup/may_read_settings")).fetchone()
    if readable != (True,):
        return None
    with conn.cursor(row_factory=class_row(BackupSettings)) as cursor:
        return cursor.execute(sql.compose("backup/settings")).fetchone()


def record_backup(conn: Connection, path: Path, size_bytes: int, made_at: datetime) -> bool:
    """Record a backup: in Aperture's row where it is in the directory that Aperture's page lists,
    else in aperture_db.backups. Tell whether Aperture's row names it.

    Needs UPDATE on backup_config, or what `record_in_own_schema` needs. A database without
    Aperture's settings gets no record.
    """
    settings = read_settings(conn)
    if settings is None:
        return False
    values: dict[str, object] = {"made_at": made_at, "size_bytes": size_bytes}
    if path.parent.resolve() == Path(settings.backup_path).resolve():
        values["name"] = path.name
        return conn.execute(sql.compose("backup/record"), values).rowcount == 1
    values |= {"directory": str(path.parent), "file_name": path.name}
    record_in_own_schema(conn, "backups", sql.load("backup/insert_backup"), values)
    return False


def record_in_own_schema(
    conn: Connection, table: str, insert: str, values: Mapping[str, object]
) -> None:
    """Insert a row into a table of backup/create_records, and keep its newest 100 rows.

    Needs CREATE on the database for the first one, later INSERT, SELECT and DELETE on the table.
    """
    with conn.transaction():
        set_local(conn, lock_timeout=LOCK_TIMEOUT)
        create_schema(conn)
        if table not in own_tables(conn):
            conn.execute(sql.load("backup/create_records"))
        conn.execute(insert, values)
        conn.execute(sql.compose("backup/delete_old_records", table=Identifier(table)))
