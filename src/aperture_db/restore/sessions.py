"""Other sessions of the database; none may be connected during a restore."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.errors import ApertureDbError, BusyError
from aperture_db.format import quote_identifier
from aperture_db.postgres.session import Connection

GRACE_SECONDS = 1.0
END_TIMEOUT_SECONDS = 10.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class OtherSession:
    """A client of the same database. State, address and age need pg_monitor."""

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
    """All other client sessions of the database; `conn` must be idle.

    Waits up to a second for them: the server needs a moment to end closed connections.
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
    """Raise BusyError for prepared transactions, which hold locks without a session."""
    names = [
        row[0]
        for row in conn.execute(
            "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY gid"
        )
    ]
    if names:
        raise BusyError(
            "the database has prepared transactions, which may hold locks",
            why="they are: " + ", ".join(names),
            next_step=f"ROLLBACK PREPARED '{names[0]}'; or COMMIT PREPARED '{names[0]}';",
            code="prepared_transactions",
        )


def describe_refusal(sessions: tuple[OtherSession, ...]) -> BusyError:
    """The error for connected sessions without --terminate-sessions."""
    count = len(sessions)
    return BusyError(
        f"{count} other {'session is' if count == 1 else 'sessions are'} connected to the database",
        why="rows that they write during the restore would be lost",
        next_step="stop Aperture (docker stop aperture), or add --terminate-sessions to terminate "
        "them",
        code="sessions_connected",
        details=tuple(map(str, sessions)),
    )


def terminate_sessions(conn: Connection, sessions: tuple[OtherSession, ...]) -> None:
    """Terminate these sessions and wait until they have ended.

    Needs membership in their roles, or pg_signal_backend. Raises ApertureDbError without it, and
    BusyError for a session that does not end.
    """
    pids = [session.pid for session in sessions]
    try:
        conn.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS t (pid)", [pids])
    except psycopg.errors.InsufficientPrivilege as error:
        role = conn.info.user
        raise ApertureDbError(
            "could not terminate the other sessions",
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
                why=f"pid {left[0].pid} is still connected after {END_TIMEOUT_SECONDS:g} s",
                next_step="stop Aperture, then run again",
                code="sessions_connected",
            )
        time.sleep(POLL_SECONDS)
