"""The other sessions of the database, which must not be there while it is replaced."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.errors import ApertureDbError, BusyError
from aperture_db.format import quote_identifier
from aperture_db.postgres.connection import Connection

GRACE_SECONDS = 1.0
END_TIMEOUT_SECONDS = 10.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class OtherSession:
    """A client of the same database. Without pg_monitor its state, address and age are unknown."""

    pid: int
    application: str
    user: str
    client: str
    """IP address; empty for a local socket."""
    state: str
    age_seconds: float | None

    def __str__(self) -> str:
        parts = [f"pid {self.pid}", self.application, self.state]
        parts.append(f"user {self.user}" if self.user else "")
        parts.append(f"from {self.client}" if self.client else "")
        if self.age_seconds is not None:
            parts.append(f"connected for {self.age_seconds:.0f} s")
        return ", ".join(filter(None, parts))


def read_sessions(conn: Connection) -> tuple[OtherSession, ...]:
    """Every other session of the database that `conn`, which must be idle, is connected to.

    Sessions that are just ending get a moment for it: the server takes one.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    while sessions := _read_sessions(conn):
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)
    return sessions


def _read_sessions(conn: Connection) -> tuple[OtherSession, ...]:
    with conn.cursor(row_factory=class_row(OtherSession)) as cursor:
        return tuple(cursor.execute(sql.load("restore/sessions"), {}))


def require_no_prepared_transactions(conn: Connection) -> None:
    """Raise BusyError for transactions that hold locks without a session."""
    names = [row[0] for row in conn.execute(sql.load("restore/prepared"))]
    if names:
        raise BusyError(
            "the database has prepared transactions, which may hold locks",
            why="they belong to no session: " + ", ".join(names),
            next_step=f"ROLLBACK PREPARED '{names[0]}'; or COMMIT PREPARED '{names[0]}';",
            code="prepared_transactions",
        )


def describe_refusal(sessions: tuple[OtherSession, ...]) -> BusyError:
    """The error while others are connected and may not be ended."""
    count = len(sessions)
    return BusyError(
        f"{count} other {'session is' if count == 1 else 'sessions are'} connected to the database",
        why="what they write while it is replaced would be lost, and what they read would be "
        "half old and half new",
        next_step="stop Aperture (docker stop aperture), or add --terminate-sessions, which ends "
        "these sessions",
        code="sessions_connected",
        details=tuple(map(str, sessions)),
    )


def terminate_sessions(conn: Connection, sessions: tuple[OtherSession, ...]) -> None:
    """End these sessions and wait until they are gone.

    Needs the rights of their roles, or pg_signal_backend. Raises ApertureDbError without, and
    BusyError for one that stays.
    """
    pids = [session.pid for session in sessions]
    try:
        conn.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS t (pid)", [pids])
    except psycopg.errors.InsufficientPrivilege as error:
        role = conn.info.user
        raise ApertureDbError(
            "the other sessions could not be ended",
            why=str(error.diag.message_primary),
            next_step=f"stop Aperture, or as a superuser run: "
            f"GRANT pg_signal_backend TO {quote_identifier(role)};",
            code="no_privilege",
        ) from error
    deadline = time.monotonic() + END_TIMEOUT_SECONDS
    while left := [each for each in _read_sessions(conn) if each.pid in pids]:
        if time.monotonic() > deadline:
            raise BusyError(
                "a session did not end",
                why=f"pid {left[0].pid} is still there after {END_TIMEOUT_SECONDS:g} s",
                next_step="stop Aperture, then run again",
                code="sessions_connected",
            )
        time.sleep(POLL_SECONDS)
