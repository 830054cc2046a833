"""Figures of tables before and after, and who stands in the way. Nothing here waits for long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import errors as pg
from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.postgres.activity import Session, find_lock_holders_by_table
from aperture_db.postgres.catalog import Table, TableSize, read_sizes
from aperture_db.postgres.connection import Connection, set_local
from aperture_db.vacuum.report import Index, SnapshotHolder

SIZE_LOCK_TIMEOUT = "200ms"
# Against SHARE UPDATE EXCLUSIVE, which VACUUM takes; VACUUM FULL gets along with no lock at all.
CONFLICTING_MODES = (
    "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock",
    "AccessExclusiveLock",
)  # fmt: skip
HARMLESS_MODES = ("AccessShareLock", "RowShareLock", "RowExclusiveLock")


@dataclass(frozen=True)
class Statistics:
    """What the server keeps about one table."""

    oid: int
    toast_oid: int
    toast_pages: int
    live_rows: int
    dead_rows: int | None
    """None on a standby."""
    vacuumed_at: datetime | None
    analyzed_at: datetime | None
    may_vacuum: bool
    read_at: datetime
    """By the server's clock."""


def read_statistics(conn: Connection, oids: Iterable[int]) -> dict[int, Statistics]:
    """By oid; a table that was dropped is missing."""
    with conn.cursor(row_factory=class_row(Statistics)) as cursor:
        rows = cursor.execute(sql.load("vacuum/statistics"), {"oids": list(oids)})
        return {row.oid: row for row in rows}


def read_indexes(
    conn: Connection, oids: Iterable[int], measured: Iterable[int] = ()
) -> dict[int, tuple[Index, ...]]:
    """By the table's oid, each in the order in which VACUUM works on them.

    For the tables in `measured` their size is taken, which waits behind ACCESS EXCLUSIVE locks.
    """
    indexes: dict[int, tuple[Index, ...]] = {}
    parameters = {"oids": list(oids), "measured": list(measured)}
    with conn.cursor(row_factory=class_row(Index)) as cursor:
        for index in cursor.execute(sql.load("vacuum/indexes"), parameters):
            indexes[index.table_oid] = (*indexes.get(index.table_oid, ()), index)
    return indexes


def read_size(conn: Connection, table: Table) -> TableSize | None:
    """The table's size; None where somebody has locked it or it is gone."""
    try:
        with conn.transaction():
            set_local(conn, lock_timeout=SIZE_LOCK_TIMEOUT)
            return read_sizes(conn, [table]).get(table.oid)
    except pg.LockNotAvailable:
        return None


def find_lock_holders(
    conn: Connection, oids: Sequence[int], *, is_full: bool
) -> dict[int, tuple[Session, ...]]:
    """The sessions that keep VACUUM, or VACUUM FULL, from tables; by the table's oid."""
    modes = (*HARMLESS_MODES, *CONFLICTING_MODES) if is_full else CONFLICTING_MODES
    return find_lock_holders_by_table(conn, oids, modes)


def find_snapshot_holders(
    conn: Connection, since: datetime, *, is_full: bool = False
) -> tuple[SnapshotHolder, ...]:
    """What has kept rows alive since before `since`, the oldest first, three at most."""
    parameters = {"since": since, "is_full": is_full}
    with conn.cursor(row_factory=class_row(SnapshotHolder)) as cursor:
        return tuple(cursor.execute(sql.load("vacuum/snapshot_holders"), parameters))
