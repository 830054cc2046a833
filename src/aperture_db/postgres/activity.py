"""Who is at work on the server, which locks they hold, who holds what another waits for; which
trigger raised an error, and what became of a transaction whose connection was lost."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
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


# What became of a transaction whose connection was lost before the answer to its COMMIT.
COMMITTED = "committed"
ABORTED = "aborted"
IN_PROGRESS = "in progress"
UNKNOWN_OUTCOME = "the server could not be asked whether this transaction was committed"
# How long a server may take to notice that a connection is gone, or to be back after a crash.
ASK_SECONDS = 30.0
ASK_AGAIN_SECONDS = 0.2


def read_timeline(conn: Connection) -> str:
    """The server's timeline, which a standby leaves when it is promoted; empty where the server
    does not tell."""
    with suppress(psycopg.Error), conn.transaction():
        row = conn.execute(sql.load("postgres/timeline")).fetchone()
        return str(row[0]) if row else ""
    return ""


def ask_for_status(target: Target, transaction_id: str, timeline: str) -> str:
    """Ask the server, through connections of its own, until it is back and the transaction has
    ended.

    COMMITTED or ABORTED; IN_PROGRESS when it had not ended in ASK_SECONDS, and empty when it
    could not be asked for. A standby that was promoted meanwhile may have missed the transaction
    and given its id to another, so on another `timeline` nothing is known.
    """
    status = ""
    deadline = time.monotonic() + ASK_SECONDS
    while status in ("", IN_PROGRESS) and time.monotonic() < deadline:
        time.sleep(ASK_AGAIN_SECONDS)
        try:
            with connect(target) as conn:
                if read_timeline(conn) != timeline:
                    return ""
                parameters = {"xid": transaction_id}
                row = conn.execute(sql.load("postgres/transaction_status"), parameters).fetchone()
                status = str(row[0]) if row else ""
        except psycopg.errors.InvalidParameterValue:
            # In the future: the server crashed before anything of it had reached its disk.
            return ABORTED
        except (psycopg.Error, ApertureDbError):
            continue
    return status


def settle_commits(conn: Connection, target: Target) -> None:
    """Let every later transaction of the connection end as it really ended. Where the connection
    is lost before the answer to a COMMIT, the server is asked: the transaction then ends well, or
    raises ApertureDbError with the outcome. Costs a round trip per transaction."""
    timeline = read_timeline(conn)

    def settle(transaction_id: str) -> None:
        status = ask_for_status(target, transaction_id, timeline)
        if status == COMMITTED:
            return
        aborted = "the server reports that this transaction was rolled back"
        raise ApertureDbError(
            "the connection was lost during a COMMIT",
            why=aborted if status == ABORTED else UNKNOWN_OUTCOME,
            next_step="read the server's log, then run again",
            code="connection_lost",
        )

    conn.settle = settle


# Classes of SQLSTATEs that any statement can meet: conflicts, resources, limits, locks,
# interruptions, and errors of the system.
NO_FAULT_OF_A_FUNCTION = ("40", "53", "54", "55", "57", "58", "XX")
# In a context the server writes functions with their arguments, in every language.
CALLED_FUNCTION = re.compile(r'(?:"((?:[^"]|"")+)"|([\w$]+))\(')


def name_trigger(error: ApertureDbError, target: Target) -> None:
    """Add the trigger or event trigger in whose function a statement failed, and its owner: the
    cause lies there, and so does the way out. Asks through a connection of its own."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error) or not cause.diag.context:
        return
    if (cause.sqlstate or "")[:2] in NO_FAULT_OF_A_FUNCTION:
        return
    names = [quoted or bare for quoted, bare in CALLED_FUNCTION.findall(cause.diag.context)]
    query = sql.load("postgres/triggers_of_functions")
    try:
        with connect(target) as conn:
            found = conn.execute(query, {"names": names}).fetchall()
    except (psycopg.Error, ApertureDbError):
        return
    for what, _disable, function, owner in found:
        error.details += (f"it failed in {what}: the function {function} belongs to {owner}",)
    if found:
        _what, disable, _function, owner = found[0]
        step = f"as {owner} or a superuser run: {disable} then run the command again"
        error.next_steps = (step,)
