"""What a backup reads of the database: Aperture's settings for backups, and a snapshot.

Also the records of the last backups. The snapshot is for pg_dump; rows are counted in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql as identifiers
from psycopg.rows import args_row, class_row
from psycopg.sql import Identifier

from aperture_db import sql
from aperture_db.errors import ApertureDbError, BusyError
from aperture_db.postgres.activity import BlockerWatch, Session
from aperture_db.postgres.catalog import create_schema, own_tables
from aperture_db.postgres.connection import allow_long_transaction, set_local, timeout_parameter
from aperture_db.postgres.driver_errors import grant_for
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target

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


@dataclass(frozen=True)
class Snapshot:
    """An exported snapshot; commits of other sessions do not change what it shows."""

    id: str
    row_counts: dict[tuple[str, str], int]
    """Exact, by schema and name."""


class _Relation(NamedTuple):
    schema: str
    name: str
    is_sequence: bool
    may_select: bool


@contextmanager
def open_snapshot(
    conn: Connection, target: Target, lock_timeout_seconds: float
) -> Iterator[Snapshot]:
    """Hold a read-only transaction for the block and export its snapshot for pg_dump.

    Its locks are released after the counting: a session that queues for one of the tables would
    otherwise block pg_dump behind us. Raises ApertureDbError for a table without SELECT,
    BusyError for a locked one.
    """
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        allow_long_transaction(conn)
        set_local(conn, lock_timeout=timeout_parameter(lock_timeout_seconds))
        row = conn.execute("SELECT pg_export_snapshot(), pg_backend_pid()").fetchone()
        assert row is not None
        with (
            conn.transaction(force_rollback=True),
            BlockerWatch(target, lock_timeout_seconds) as watch,
        ):
            watch.start(row[1])
            # COPY reads the tables. An index that lacks entries must not make its rows look wrong.
            set_local(conn, enable_indexonlyscan="off")
            counts = _count_rows(conn, target, watch)
        yield Snapshot(row[0], counts)


def _count_rows(
    conn: Connection, target: Target, watch: BlockerWatch
) -> dict[tuple[str, str], int]:
    with conn.cursor(row_factory=args_row(_Relation)) as cursor:
        relations = cursor.execute(sql.load("backup/dumped_relations")).fetchall()
    if unreadable := [relation for relation in relations if not relation.may_select]:
        raise _unreadable(unreadable, target)
    tables = [relation for relation in relations if not relation.is_sequence]
    if not tables:
        return {}
    # Without ONLY the rows of inheritance children would be counted twice.
    counts = identifiers.SQL(" UNION ALL ").join(
        identifiers.SQL("SELECT {}::text, {}::text, count(*) FROM ONLY {}").format(
            table.schema, table.name, identifiers.Identifier(table.schema, table.name)
        )
        for table in tables
    )
    try:
        rows = conn.execute(counts).fetchall()
    except psycopg.errors.LockNotAvailable as error:
        raise locked(error, watch.stop()) from error
    return {(schema, name): count for schema, name, count in rows}


def _unreadable(relations: list[_Relation], target: Target) -> ApertureDbError:
    """pg_dump 18 writes a wrong value for a sequence without SELECT, and reports success."""
    messages = {
        relation.is_sequence: f"permission denied for "
        f"{'sequence' if relation.is_sequence else 'table'} {relation.name}"
        for relation in reversed(relations)
    }
    return ApertureDbError(
        "permission denied for a part of the database, so a backup would be incomplete",
        why=messages.get(False) or messages[True],
        next_step=(grant_for(message, target.user) for message in messages.values()),
        code="no_privilege",
    )


def locked(error: psycopg.Error, holders: tuple[Session, ...]) -> BusyError:
    """The error for a table that another session has locked."""
    held = f"held by {holders[0]}" if holders else "its holder could not be seen"
    end_it = f"SELECT pg_terminate_backend({holders[0].pid});" if holders else "stop Aperture"
    return BusyError(
        "timed out waiting for a lock, so no backup was made",
        why=f"{error.diag.message_primary}; {held}",
        next_step=f"wait until that session ends, or terminate it: {end_it}",
        details=tuple(f"held by {holder}" for holder in holders[1:]),
    )
