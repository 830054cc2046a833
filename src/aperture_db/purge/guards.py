"""Guards of a purge: locks and write counters, which keep it from doing anything but what was
planned, and the user data that it keeps for relink: identities of titles, and rows that point at
them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.aperture.kinds import Media
from aperture_db.aperture.schema import KEPT_TABLES, has_kept_tables, missing_grant
from aperture_db.errors import ApertureDbError, BusyError
from aperture_db.postgres.activity import LockMode, find_lock_holders
from aperture_db.postgres.catalog import Table
from aperture_db.postgres.connection import timeout_parameter
from aperture_db.postgres.session import Connection
from aperture_db.purge import PurgeOptions, PurgeTarget
from aperture_db.purge.report import MissingPrivilege, TableLock
from aperture_db.purge.selection import PurgeSelection
from aperture_db.relink.keep import (
    count_purged,
    count_what_would_be_kept,
    drop_kept_tables,
    drop_purged,
    keep,
)
from aperture_db.relink.kept import RATINGS, WATCH_HISTORY, read_library
from aperture_db.relink.report import KeptCounts, RowOrigin

# A deadlock ends the wait, too: the other session took the same locks in another order.
BUSY_ERRORS = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


class LockRefusedError(Exception):
    """A lock was not obtained in time; the transaction is over."""

    def __init__(self, lock: TableLock) -> None:
        super().__init__(lock.table.name)
        self.lock = lock


@dataclass(frozen=True)
class WriteCounters:
    """Rows that this session wrote to one table, by kind, and the file that holds the table."""

    oid: int
    name: str
    inserted: int
    updated: int
    deleted: int
    file: int


def locks_for(selection: PurgeSelection) -> tuple[TableLock, ...]:
    """ACCESS EXCLUSIVE on every table that loses rows or, for a moment, a foreign key, and SHARE
    ROW EXCLUSIVE, which readers do not notice, on those of which rows are only updated."""
    exclusive = {effect.table.oid for effect in selection.effects if effect.deleted is not None}
    exclusive |= {
        key.table_oid
        for oid in exclusive
        for key in selection.inbound_keys.get(oid, ())
        if selection.tables[key.table_oid].is_owner
    }
    concerned = {effect.table.oid for effect in selection.effects} | exclusive
    return tuple(
        TableLock(
            table,
            LockMode.ACCESS_EXCLUSIVE if oid in exclusive else LockMode.SHARE_ROW_EXCLUSIVE,
        )
        for oid, table in selection.tables.items()
        if oid in concerned
    )


def take_locks(conn: Connection, locks: Sequence[TableLock], timeout_seconds: float) -> None:
    """Lock every table within `timeout_seconds` altogether. Raises LockRefusedError.

    Needs DELETE, UPDATE or TRUNCATE on each table.
    """
    deadline = time.monotonic() + timeout_seconds
    for lock in locks:
        statement = sql.SQL("SET LOCAL lock_timeout = {}; LOCK TABLE {} IN {} MODE").format(
            timeout_parameter(deadline - time.monotonic()),
            lock.table.identifier,
            sql.SQL(lock.mode),
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
    """Make the error for tables that the plan did not show."""
    return ApertureDbError(
        "the tables have changed since the plan was made, nothing was changed",
        why=f"meanwhile added or altered: {', '.join(sorted(names))}",
        next_step="look at the plan again, with --dry-run",
        code="changed_meanwhile",
    )


def describe_refusal(
    conn: Connection, tables: Sequence[Table], modes: Sequence[str], timeout_seconds: float
) -> BusyError:
    """Make the error that names who holds `modes` on one of the tables. Needs no transaction."""
    holders = find_lock_holders(conn, [table.oid for table in tables], modes)
    place = tables[0].name if len(tables) == 1 else "a table"
    what = f"timed out waiting {timeout_seconds:g} s for a lock on {place}, nothing was changed"
    if not holders:
        return BusyError(
            what,
            why="its holder is unknown: it has released the lock, or seeing it needs pg_monitor",
            next_step="stop Aperture, then run the command again",
        )
    return BusyError(
        what,
        why=f"held by {holders[0]}",
        next_step=f"stop Aperture, or end that session: SELECT pg_terminate_backend("
        f"{holders[0].pid}); then run the command again",
        details=tuple(f"held by {holder}" for holder in holders[1:]),
    )


def read_write_counters(conn: Connection) -> dict[int, WriteCounters]:
    """Of every table of the database, by its oid. Triggers and cascades count, too."""
    with conn.cursor(row_factory=class_row(WriteCounters)) as cursor:
        return {each.oid: each for each in cursor.execute(queries.load("purge/write_counters"))}


def require_untouched(
    before: Mapping[int, WriteCounters],
    after: Mapping[int, WriteCounters],
    concerned: Iterable[int],
) -> None:
    """Raise when a table that is not concerned was written to, emptied or rewritten. Others may
    add and drop tables meanwhile."""
    for oid in (before.keys() & after.keys()) - set(concerned):
        if before[oid] != after[oid]:
            raise not_as_planned(f"{after[oid].name} is out of scope and was changed")


def require_writes(before: WriteCounters, after: WriteCounters, deleted: int, updated: int) -> None:
    """Raise when other numbers of rows were written to a table."""
    written = (
        after.inserted - before.inserted,
        after.updated - before.updated,
        after.deleted - before.deleted,
    )
    if written != (0, updated, deleted):
        inserted, changed, removed = written
        raise not_as_planned(
            f"planned for {after.name}: {deleted:,} rows deleted, {updated:,} updated; "
            f"done: {removed:,} deleted, {changed:,} updated, {inserted:,} inserted"
        )


def not_as_planned(why: str) -> ApertureDbError:
    """Make the error for an effect that was not planned; raised inside the transaction."""
    return ApertureDbError(
        "the purge did not match its plan and was rolled back, nothing was changed",
        why=f"{why}; a trigger, a rule or row security of your own may be the cause",
        next_step="look for it with: SELECT tgrelid::regclass, tgname FROM pg_trigger "
        "WHERE NOT tgisinternal; SELECT evtname FROM pg_event_trigger;",
        code="not_as_planned",
    )


FILMS = (Media.MOVIE,)
SERIES = (Media.SERIES, Media.EPISODE)
MEDIA_OF = {
    PurgeTarget.MOVIES: FILMS,
    PurgeTarget.SERIES: SERIES,
    PurgeTarget.CONTENT: (*FILMS, *SERIES),
}
"""The titles that a target deletes; the others delete none."""
PURGED_SOURCE = {PurgeTarget.RATINGS: RATINGS, PurgeTarget.WATCH_HISTORY: WATCH_HISTORY}
NO_KEEP = "or purge without keeping user data: --no-keep"


@dataclass(frozen=True)
class UserDataKeeper:
    """Keeps what a purge of this target would otherwise lose."""

    target: PurgeTarget
    options: PurgeOptions

    @property
    def is_needed(self) -> bool:
        """Whether the purge deletes titles, or vectors of locked profiles, and is to keep data."""
        is_locked_reset = self.options.include_locked and self.target is PurgeTarget.WATCH_HISTORY
        return self.options.keep and (self.target in MEDIA_OF or is_locked_reset)

    def count(self, conn: Connection) -> KeptCounts | None:
        """What would be kept, within the open transaction. Needs SELECT on the tables."""
        if not self.is_needed:
            return None
        return count_what_would_be_kept(
            conn, read_library(conn), self._media, profiles_of=self._profiles_of
        )

    def count_dropped(self, conn: Connection) -> int:
        """Rows kept earlier that a purge of their table by name drops, and that are not among
        the rows that it deletes. Needs SELECT on the kept tables."""
        name = PURGED_SOURCE.get(self.target)
        return count_purged(conn, read_library(conn), name) if name else 0

    def missing_privilege(self, conn: Connection) -> MissingPrivilege | None:
        """The privilege that keeping, or dropping what was kept, needs and the role lacks."""
        drops = self.target in PURGED_SOURCE and has_kept_tables(conn)
        grant = missing_grant(conn, KEPT_TABLES) if self.is_needed or drops else None
        return MissingPrivilege("CREATE", ("schema aperture_db",), grant) if grant else None

    def act(self, conn: Connection) -> None:
        """Keep, and make sure that relink does not put back what is purged by name."""
        if self.is_needed:
            library = read_library(conn)
            keep(conn, library, self._media, RowOrigin.PURGE, profiles_of=self._profiles_of)
        if self.target in PURGED_SOURCE:
            drop_purged(conn, PURGED_SOURCE[self.target])
        if self.target is PurgeTarget.EVERYTHING and self.options.include_kept:
            drop_kept_tables(conn)

    @property
    def _media(self) -> tuple[Media, ...]:
        return MEDIA_OF.get(self.target, ())

    @property
    def _profiles_of(self) -> tuple[Media, ...]:
        """The media of locked profiles that the purge resets."""
        if not self.options.include_locked:
            return ()
        return self._media or (*FILMS, *SERIES)
