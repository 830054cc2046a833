"""The transaction that every applied file lives in, and the lock that its runners share.

The lock belongs to the transaction: a session's lock would stay behind on a pooler's connection.
It is tried for, not waited for, because a waiting statement would keep CONCURRENTLY builds of the
holder from finishing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.pq import TransactionStatus

from aperture_db import sql
from aperture_db.errors import BusyError
from aperture_db.postgres.activity import Session
from aperture_db.postgres.connection import Connection, timeout_parameter

# Every runner of this tool uses this key: "aperture" in ASCII, which fits a bigint.
LOCK_KEY = 0x6170657274757265
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
TELL_INTERVAL_SECONDS = 30.0


@dataclass(frozen=True)
class Limits:
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
def locked_transaction(conn: Connection, limits: Limits) -> Iterator[int | None]:
    """A transaction that holds the runners' lock; yields the server process's pid.

    Yields None, the transaction then being empty, when another runner has the lock. At the end
    of the block whatever is still open is rolled back: only the block commits.
    """
    try:
        cursor = psycopg.ClientCursor(conn).execute(
            sql.load("migrations/begin_file"),
            {"lock_key": LOCK_KEY, **limits.parameters},
        )
        cursor.set_result(-1)
        row = cursor.fetchone()
        assert row is not None
        obtained, pid, *_ = row
        yield pid if obtained else None
    finally:
        if not conn.closed and conn.info.transaction_status != TransactionStatus.IDLE:
            conn.execute("ROLLBACK")


class Patience:
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
        f"{outcome}: a lock was not obtained in {waited_seconds:g} s",
        why=f"held by {holders[0]}"
        if holders
        else "the session that holds it could not be seen (that needs pg_monitor)",
        next_step=f"SELECT pg_terminate_backend({holders[0].pid}); or stop Aperture, "
        "then run: aperture-db migrate"
        if holders
        else "stop Aperture, then run: aperture-db migrate",
        details=tuple(f"held by {holder}" for holder in holders[1:]),
    )
