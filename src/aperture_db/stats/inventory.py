"""The tables of one reading, and the reasons why some of them can't be read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from psycopg import errors as pg

from aperture_db.postgres.activity import ExclusiveLock, read_exclusive_locks
from aperture_db.postgres.catalog import (
    RelationKind,
    Table,
    read_tables,
    readable_tables,
    visible_tables,
)
from aperture_db.postgres.connection import set_local
from aperture_db.postgres.session import Connection
from aperture_db.stats.report import Unknown

Report = TypeVar("Report")

LOCK_TIMEOUT = "2s"
ATTEMPTS = 5


@dataclass(frozen=True)
class Inventory:
    """Every table, and the locks for which a first attempt timed out."""

    tables: tuple[Table, ...]
    locks: Mapping[int, list[ExclusiveLock]]
    """By the oid of the table that can't be read."""

    @cached_property
    def visible(self) -> dict[str, Table]:
        return visible_tables(self.tables)

    @cached_property
    def readable(self) -> dict[str, Table]:
        """By name, those that may be read in every column and are not locked."""
        found = readable_tables(self.tables).items()
        return {name: table for name, table in found if self.why_unreadable(table) is None}

    @property
    def unlocked(self) -> list[Table]:
        return [table for table in self.tables if table.oid not in self.locks]

    def why_unreadable(self, table: Table | None) -> Unknown | None:
        """The reason why the rows of the table can't be counted; None when they can."""
        if table is None:
            return Unknown.ABSENT
        if table.kind == RelationKind.FOREIGN:
            return Unknown.ELSEWHERE
        if not table.may_count:
            return Unknown.NO_PRIVILEGE
        if not table.is_populated:
            return Unknown.ABSENT
        return Unknown.LOCKED if table.oid in self.locks else None

    def has_columns(self, name: str, *columns: str) -> bool:
        """Tell if the table exists, may be read, and has these columns in this version."""
        table = self.readable.get(name)
        return table is not None and set(columns) <= set(table.columns)


def read_past_locks(conn: Connection, read: Callable[[Inventory], Report]) -> Report:
    """Run `read` in a transaction of its own, without the tables that are locked.

    A lock is waited for until LOCK_TIMEOUT; then whatever is locked at that moment is left out and
    everything is read again. Raises LockNotAvailable when new locks keep appearing.
    """
    locks: Mapping[int, list[ExclusiveLock]] = {}
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with conn.transaction():
                set_local(conn, lock_timeout=LOCK_TIMEOUT)
                return read(Inventory(tuple(read_tables(conn)), locks))
        except (pg.LockNotAvailable, pg.UndefinedTable, pg.SerializationFailure):
            # Undefined: dropped since the list was read. Serialization: a standby replayed what
            # the reading still needed.
            if attempt == ATTEMPTS:
                raise
            locks = _current_locks(conn)
    raise AssertionError("unreachable")


def _current_locks(conn: Connection) -> Mapping[int, list[ExclusiveLock]]:
    locks: defaultdict[int, list[ExclusiveLock]] = defaultdict(list)
    for lock in read_exclusive_locks(conn):
        locks[lock.table_oid].append(lock)
    return locks
