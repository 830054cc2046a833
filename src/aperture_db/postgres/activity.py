"""Who is at work on the server, which locks they hold, and who holds what another waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

import psycopg
from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.errors import ApertureDbError
from aperture_db.postgres.connection import connect
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target


class LockMode(StrEnum):
    """A mode as LOCK TABLE takes it, from the weakest to the strongest."""

    ACCESS_SHARE = "ACCESS SHARE"
    ROW_SHARE = "ROW SHARE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"

    @property
    def catalog_name(self) -> str:
        """The name in `pg_locks.mode`, such as AccessShareLock."""
        return "".join(word.title() for word in self.split()) + "Lock"

    @property
    def conflicts(self) -> tuple[str, ...]:
        """The modes that keep another session from this one, as `pg_locks.mode` names them."""
        return tuple(mode.catalog_name for mode in LockMode if mode in _CONFLICTS[self])


_WRITERS = {
    LockMode.ROW_EXCLUSIVE,
    LockMode.SHARE_UPDATE_EXCLUSIVE,
    LockMode.SHARE,
    LockMode.SHARE_ROW_EXCLUSIVE,
    LockMode.EXCLUSIVE,
    LockMode.ACCESS_EXCLUSIVE,
}
_CONFLICTS = {
    LockMode.ACCESS_SHARE: {LockMode.ACCESS_EXCLUSIVE},
    LockMode.ROW_SHARE: {LockMode.EXCLUSIVE, LockMode.ACCESS_EXCLUSIVE},
    LockMode.ROW_EXCLUSIVE: _WRITERS - {LockMode.ROW_EXCLUSIVE, LockMode.SHARE_UPDATE_EXCLUSIVE},
    LockMode.SHARE_UPDATE_EXCLUSIVE: _WRITERS - {LockMode.ROW_EXCLUSIVE},
    LockMode.SHARE: _WRITERS - {LockMode.SHARE},
    LockMode.SHARE_ROW_EXCLUSIVE: _WRITERS,
    LockMode.EXCLUSIVE: set(LockMode) - {LockMode.ACCESS_SHARE},
    LockMode.ACCESS_EXCLUSIVE: set(LockMode),
}


@dataclass(frozen=True)
class Session:
    """Another session of the server. Without pg_monitor its state and age are unknown."""

    pid: int
    application: str
    user: str
    state: str
    transaction_age_seconds: float | None

    def __str__(self) -> str:
        parts = [f"pid {self.pid}"]
        if self.application:
            parts.append(self.application)
        if self.user:
            parts.append(f"user {self.user}")
        if self.state:
            parts.append(self.state)
        if self.transaction_age_seconds is not None:
            parts.append(f"in its transaction for {self.transaction_age_seconds:.0f} s")
        return ", ".join(parts)


WATCH_AFTER_SECONDS = 0.5
WATCH_INTERVAL_SECONDS = 0.25
JOIN_SECONDS = 2.0


@dataclass(frozen=True)
class ExclusiveLock:
    """What keeps a table from being read."""

    table_oid: int
    is_held: bool
    """False for a session that itself waits for the lock, with readers queued behind it."""
    session: Session | None
    """None for a prepared transaction."""


def find_blockers(conn: Connection, pid: int) -> tuple[Session, ...]:
    """The sessions that keep the server process `pid` waiting for a lock."""
    cursor = conn.cursor(row_factory=class_row(Session))
    return tuple(cursor.execute(sql.load("postgres/blockers"), {"pid": pid}))


def find_advisory_holders(conn: Connection, lock_key: int) -> tuple[Session, ...]:
    """The sessions that hold the advisory lock `lock_key` of this database."""
    cursor = conn.cursor(row_factory=class_row(Session))
    return tuple(cursor.execute(sql.load("postgres/advisory_holders"), {"lock_key": lock_key}))


def find_sessions(conn: Connection, pids: Sequence[int]) -> dict[int, Session]:
    """Those of these server processes that are still there, by pid."""
    cursor = conn.cursor(row_factory=class_row(Session))
    rows = cursor.execute(sql.load("postgres/sessions_by_pid"), {"pids": list(pids)})
    return {session.pid: session for session in rows}


def find_lock_holders(
    conn: Connection, oids: Sequence[int], modes: Sequence[str]
) -> tuple[Session, ...]:
    """The sessions that hold one of the lock `modes` (as pg_locks names them) on one of the
    tables, then those that queue for one."""
    held = _read_lock_holders(conn, oids, modes)
    return tuple({session.pid: session for _oid, session in held}.values())


def find_lock_holders_by_table(
    conn: Connection, oids: Sequence[int], modes: Sequence[str]
) -> dict[int, tuple[Session, ...]]:
    """The same by the table's oid."""
    holders: dict[int, tuple[Session, ...]] = {}
    for oid, session in _read_lock_holders(conn, oids, modes):
        holders[oid] = (*holders.get(oid, ()), session)
    return holders


def _read_lock_holders(
    conn: Connection, oids: Sequence[int], modes: Sequence[str]
) -> Iterator[tuple[int, Session]]:
    parameters = {"oids": list(oids), "modes": list(modes)}
    for oid, *session in conn.execute(sql.load("postgres/lock_holders"), parameters):
        yield oid, Session(*session)


def find_other_sessions(conn: Connection) -> tuple[Session, ...]:
    """The other sessions of clients in this database."""
    cursor = conn.cursor(row_factory=class_row(Session))
    return tuple(cursor.execute(sql.load("postgres/sessions")))


def read_exclusive_locks(conn: Connection) -> list[ExclusiveLock]:
    """Who holds, or waits for, ACCESS EXCLUSIVE on tables of this database."""
    rows = conn.execute(sql.load("postgres/exclusive_locks")).fetchall()
    return [
        ExclusiveLock(table_oid, is_held, Session(pid, *session) if pid else None)
        for table_oid, is_held, pid, *session in rows
    ]


class BlockerWatch:
    """Looks, through a connection of its own, at who blocks a statement while it waits.

    When a lock timeout has ended the wait the holder can no longer be asked for, so it has to be
    seen before: `lock_timeout_seconds` is that timeout. The extra connection opens only once a
    statement has run for a third of it, or half a second.
    """

    def __init__(self, target: Target, lock_timeout_seconds: float) -> None:
        self._target = target
        self._after_seconds = min(WATCH_AFTER_SECONDS, lock_timeout_seconds / 3)
        self._changed = threading.Condition()
        self._pid: int | None = None
        self._since = 0.0
        self._closed = False
        self._blockers: tuple[Session, ...] = ()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        # Its own connection may hang in a network that vanished; the thread ends with us.
        self._thread.join(JOIN_SECONDS)

    def start(self, pid: int) -> None:
        """Watch the server process `pid` from now on."""
        with self._changed:
            self._pid, self._since, self._blockers = pid, time.monotonic(), ()
            self._changed.notify()

    def stop(self) -> tuple[Session, ...]:
        """Watch no longer; returns who was last seen blocking since `start`."""
        with self._changed:
            self._pid = None
            return self._blockers

    def _watch(self) -> None:
        conn: Connection | None = None
        try:
            while (pid := self._next_pid()) is not None:
                conn = conn or connect(self._target)
                seen = find_blockers(conn, pid)
                with self._changed:
                    if seen and self._pid == pid:
                        self._blockers = seen
        except (psycopg.Error, ApertureDbError):
            # Knowing the holder is a courtesy; the wait itself goes on and fails by its timeout.
            return
        finally:
            if conn is not None:
                conn.close()

    def _next_pid(self) -> int | None:
        """Sleep until it is time for a look, and return whom to look at; None to end."""
        with self._changed:
            self._changed.wait(WATCH_INTERVAL_SECONDS if self._pid else None)
            while not self._closed:
                if self._pid is None:
                    self._changed.wait()
                elif (early := self._since + self._after_seconds - time.monotonic()) > 0:
                    self._changed.wait(early)
                else:
                    return self._pid
            return None
