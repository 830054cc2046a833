"""The transaction of a file: the lock that its runners share, and its record.

The records are Aperture's own table aperture_migrations, shared with its runner.

The lock belongs to the transaction: a session's lock would stay behind on a pooler's connection.
It is tried for, not waited for, because a waiting statement would keep CONCURRENTLY builds of the
holder from finishing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.pq import TransactionStatus

from aperture_db import sql
from aperture_db.errors import BusyError
from aperture_db.postgres.activity import Session
from aperture_db.postgres.connection import set_local, timeout_parameter
from aperture_db.postgres.session import Connection

# Every runner of this tool uses this key: "aperture" in ASCII, which fits a bigint.
LOCK_KEY = 0x6170657274757265
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
TELL_INTERVAL_SECONDS = 30.0


@dataclass(frozen=True)
class LockLimits:
    """How long locks are waited for, and how soon the server notices a dead client."""

    lock_wait_seconds: float
    """For everything that others hold, per file."""
    lock_timeout_seconds: float
    """For one attempt of a statement; readers queue up behind DDL that waits."""
    connection_check_interval: str = "0"

    @property
    def parameters(self) -> dict[str, str]:
        """The configuration parameters of a file's transaction."""
        return {
            "lock_timeout": timeout_parameter(self.lock_timeout_seconds),
            "statement_timeout": "0",
            "idle_in_transaction_session_timeout": "0",
            "client_connection_check_interval": self.connection_check_interval,
        }


@contextmanager
def locked_transaction(conn: Connection, limits: LockLimits) -> Iterator[int | None]:
    """A transaction that holds the runners' lock; yields the server process's pid.

    Yields None, the transaction then being empty, when another runner has the lock. At the end
    of the block whatever is still open is rolled back: only the block commits.
    """
    try:
        conn.begin()
        parameters = {"lock_key": LOCK_KEY, **limits.parameters}
        row = conn.execute(sql.load("migrations/begin_file"), parameters).fetchone()
        assert row is not None
        obtained, pid, *_ = row
        yield pid if obtained else None
    finally:
        if not conn.closed and conn.info.transaction_status != TransactionStatus.IDLE:
            conn.execute("ROLLBACK")


def create_table(conn: Connection, lock_timeout_seconds: float) -> None:
    """Make aperture_migrations where it is missing. Needs CREATE on the schema then.

    Raises LockNotAvailable when another session makes it and does not end its transaction.
    """
    row = conn.execute("SELECT to_regclass('aperture_migrations') IS NULL").fetchone()
    if row != (True,):
        return
    try:
        with conn.transaction():
            set_local(conn, lock_timeout=timeout_parameter(lock_timeout_seconds))
            conn.execute(sql.load("migrations/create_table"))
    except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
        # Another runner was faster by a moment.
        return


def record(conn: Connection, name: str) -> bool:
    """Record a file in the open transaction and set the guard savepoint behind that; False when
    somebody has recorded it before.

    Locks the table against other writers until the transaction ends.
    """
    cursor = psycopg.ClientCursor(conn).execute(sql.load("migrations/record"), {"name": name})
    cursor.set_result(-2)
    return cursor.rowcount == 1


def is_recorded(conn: Connection, name: str) -> bool:
    """Whether a file is recorded as applied."""
    found = conn.execute("SELECT FROM aperture_migrations WHERE name = %s", [name])
    return found.rowcount == 1


def mark_applied(
    conn: Connection, names: Sequence[str], lock_timeout_seconds: float
) -> tuple[str, ...]:
    """Record files without running them, in one transaction; returns those that were new.

    Raises LockNotAvailable when another session keeps aperture_migrations locked.
    """
    create_table(conn, lock_timeout_seconds)
    with conn.transaction():
        set_local(conn, lock_timeout=timeout_parameter(lock_timeout_seconds))
        return tuple(name for name in names if record(conn, name))


class Backoff:
    """Paces repeated attempts at something that others hold. `outcome` says what it means when
    the time is up."""

    def __init__(self, wait_seconds: float, outcome: str) -> None:
        self._outcome = outcome
        self._started = time.monotonic()
        self._wait_seconds = wait_seconds
        self._pause = FIRST_PAUSE_SECONDS
        self._told = float("-inf")

    @property
    def waited_seconds(self) -> float:
        return time.monotonic() - self._started

    def is_news(self) -> bool:
        """Whether it is time to tell the user, again."""
        if self.waited_seconds - self._told < TELL_INTERVAL_SECONDS:
            return False
        self._told = self.waited_seconds
        return True

    def pause(self, holders: tuple[Session, ...]) -> None:
        """Sleep before the next attempt. Raises BusyError once the time is up."""
        left = self._wait_seconds - self.waited_seconds
        if left <= 0:
            raise lock_not_obtained(self._outcome, self._wait_seconds, holders)
        time.sleep(min(self._pause, left))
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)


def lock_not_obtained(
    outcome: str, waited_seconds: float, holders: tuple[Session, ...]
) -> BusyError:
    """The error for a lock that others held too long. `outcome` says what did not happen."""
    return BusyError(
        f"{outcome}: timed out after {waited_seconds:g} s waiting for a lock",
        why=f"held by {holders[0]}"
        if holders
        else "the session that holds it could not be seen (that needs pg_monitor)",
        next_step=f"SELECT pg_terminate_backend({holders[0].pid}); or stop Aperture, "
        "then run: aperture-db migrate"
        if holders
        else "stop Aperture, then run: aperture-db migrate",
        details=tuple(f"held by {holder}" for holder in holders[1:]),
    )
