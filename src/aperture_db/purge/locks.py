"""Takes the locks of a purge within a bounded time, and names who keeps it from one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import psycopg
from psycopg import sql

from aperture_db import sql as queries
from aperture_db.errors import ApertureDbError, BusyError
from aperture_db.postgres.activity import find_lock_holders
from aperture_db.postgres.catalog import Table
from aperture_db.postgres.connection import Connection, timeout_parameter
from aperture_db.purge.selection import Selection


class Mode(StrEnum):
    """The lock modes that a purge takes."""

    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"


# The modes of others that each conflicts with, as pg_locks names them.
WRITERS = (
    "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock",
    "ExclusiveLock", "AccessExclusiveLock",
)  # fmt: skip
CONFLICTS = {
    Mode.ACCESS_EXCLUSIVE: ("AccessShareLock", "RowShareLock", *WRITERS),
    Mode.SHARE_ROW_EXCLUSIVE: WRITERS,
}
# What keeps a table from being read, and so a plan from being made.
READ_CONFLICTS = ("AccessExclusiveLock",)
# A deadlock is an end of the wait, too: the other session took the same locks in another order.
BUSY_ERRORS = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


@dataclass(frozen=True)
class TableLock:
    table: Table
    mode: Mode


class LockRefusedError(Exception):
    """A lock was not obtained in time; the transaction is over."""

    def __init__(self, lock: TableLock) -> None:
        super().__init__(lock.table.name)
        self.lock = lock


def locks_for(selection: Selection) -> tuple[TableLock, ...]:
    """ACCESS EXCLUSIVE on every table that loses rows or a foreign key on the way, and SHARE ROW
    EXCLUSIVE, which readers do not notice, on those of which rows are only changed."""
    exclusive = {effect.table.oid for effect in selection.effects if effect.going is not None}
    exclusive |= {
        key.table_oid
        for oid in exclusive
        for key in selection.inbound_keys.get(oid, ())
        if selection.tables[key.table_oid].is_owner
    }
    concerned = {effect.table.oid for effect in selection.effects} | exclusive
    return tuple(
        TableLock(table, Mode.ACCESS_EXCLUSIVE if oid in exclusive else Mode.SHARE_ROW_EXCLUSIVE)
        for oid, table in selection.tables.items()
        if oid in concerned
    )


def take_locks(conn: Connection, locks: Sequence[TableLock], timeout_seconds: float) -> None:
    """Lock every table within `timeout_seconds` altogether. Raises LockRefusedError."""
    deadline = time.monotonic() + timeout_seconds
    for lock in locks:
        statement = sql.SQL(queries.load("purge/lock_table")).format(
            timeout=timeout_parameter(deadline - time.monotonic()),
            table=lock.table.identifier,
            mode=sql.SQL(lock.mode),
        )
        try:
            conn.execute(statement)
        except BUSY_ERRORS as error:
            raise LockRefusedError(lock) from error


def require_locked(needed: Sequence[TableLock], taken: Sequence[TableLock]) -> None:
    """Raise ApertureDbError when the catalog calls for a lock that the plan did not know of."""
    locked = {(lock.table.oid, lock.mode) for lock in taken}
    if added := [lock.table for lock in needed if (lock.table.oid, lock.mode) not in locked]:
        raise changed_meanwhile([table.name for table in added])


def changed_meanwhile(names: Sequence[str]) -> ApertureDbError:
    """The error for tables that the plan did not show."""
    return ApertureDbError(
        "the tables are not those of the plan any more, nothing was changed",
        why=f"meanwhile added or altered: {', '.join(sorted(names))}",
        next_step="look at the plan again, with --dry-run",
        code="changed_meanwhile",
    )


def describe_refusal(
    conn: Connection, tables: Sequence[Table], modes: Sequence[str], timeout_seconds: float
) -> BusyError:
    """The error that names who holds `modes` on one of the tables. Needs no open transaction."""
    holders = find_lock_holders(conn, [table.oid for table in tables], modes)
    place = tables[0].name if len(tables) == 1 else "a table"
    what = f"a lock on {place} was not obtained in {timeout_seconds:g} s, nothing was changed"
    if not holders:
        return BusyError(
            what,
            why="who held it is not known: it was let go meanwhile, or seeing it needs pg_monitor",
            next_step="stop Aperture, then run the command again",
        )
    return BusyError(
        what,
        why=f"held by {holders[0]}",
        next_step=f"stop Aperture, or end that session: SELECT pg_terminate_backend("
        f"{holders[0].pid}); then run the command again",
        details=tuple(f"held by {holder}" for holder in holders[1:]),
    )
