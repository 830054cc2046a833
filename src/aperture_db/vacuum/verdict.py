"""Whether a table was done, and if not, why and what helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import errors as pg

from aperture_db.format import quote_identifier, vacuum_command
from aperture_db.postgres.activity import Session
from aperture_db.postgres.connection import Connection
from aperture_db.postgres.driver_errors import translate_query_error
from aperture_db.postgres.target import Target
from aperture_db.vacuum.figures import find_lock_holders, find_snapshot_holders
from aperture_db.vacuum.report import Outcome, PlannedTable

MAINTAIN_VERSION = 170000


@dataclass(frozen=True)
class Verdict:
    outcome: Outcome
    reason: str = ""
    advice: str = ""


DONE = Verdict(Outcome.DONE)
GONE = Verdict(Outcome.GONE, "it was dropped meanwhile")


def locked(table: PlannedTable, sessions: Sequence[Session]) -> Verdict:
    """For a table on which others hold locks."""
    again = vacuum_command([table.name])
    if not sessions:
        return Verdict(Outcome.SKIPPED, "another session holds a lock on it", again)
    ends = " ".join(f"SELECT pg_terminate_backend({session.pid});" for session in sessions)
    held = "; ".join(map(str, sessions))
    return Verdict(
        Outcome.SKIPPED, f"held by {held}", f"{again}, when that is over; or end it: {ends}"
    )


def refused(conn: Connection, table: PlannedTable, message: str) -> Verdict:
    """For a table that the role may not work on; `message` is the server's."""
    reason = f"{message} (owner {table.owner})"
    if conn.info.server_version >= MAINTAIN_VERSION:
        role = quote_identifier(conn.info.user)
        name = table.table.identifier.as_string(conn)
        advice = f"as its owner or a superuser run: GRANT MAINTAIN ON TABLE {name} TO {role};"
    else:
        advice = f"connect as {table.owner}, the owner of the database, or a superuser"
    return Verdict(Outcome.SKIPPED, reason, advice)


def of_error(
    conn: Connection, target: Target, table: PlannedTable, error: psycopg.Error, since: datetime
) -> Verdict:
    """What a failed statement means for its table. Raises the error again when it means that no
    other table can be done either."""
    if _is_fatal(error) or conn.closed:
        raise error
    match error:
        case pg.UndefinedTable() | pg.UndefinedObject():
            return GONE
        case pg.InsufficientPrivilege():
            return refused(conn, table, error.diag.message_primary or str(error))
        case pg.LockNotAvailable():
            return _waited_in_vain(conn, table, since)
    told = translate_query_error(error, target, writes=True)
    return Verdict(Outcome.FAILED, told.why, told.next_step)


def _is_fatal(error: psycopg.Error) -> bool:
    return error.sqlstate is None or isinstance(
        error, (pg.AdminShutdown, pg.CrashShutdown, pg.DiskFull, pg.ReadOnlySqlTransaction)
    )


def _waited_in_vain(conn: Connection, table: PlannedTable, since: datetime) -> Verdict:
    """REINDEX CONCURRENTLY waits for writers of the table and for everybody's old snapshots."""
    oid = table.table.oid
    sessions = find_lock_holders(conn, [oid], is_full=True).get(oid, ())
    if sessions:
        return locked(table, sessions)
    holders = find_snapshot_holders(conn, since)
    if not holders:
        return locked(table, ())
    advice = "; ".join(holder.advice for holder in holders)
    reason = f"its index can't be rebuilt while {'; '.join(map(str, holders))} has an old snapshot"
    return Verdict(Outcome.SKIPPED, reason, advice)
