"""Outcomes of tables: their statistics after the work, or why they were not vacuumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.format import quote_identifier, vacuum_command
from aperture_db.postgres.activity import LockMode, Session, find_lock_holders_by_table
from aperture_db.postgres.driver_errors import translate_query_error
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target
from aperture_db.vacuum.report import PlannedTable, SnapshotHolder, VacuumMode, VacuumOutcome

MAINTAIN_VERSION = 170000
SIZE_LOCK_TIMEOUT = "200ms"


@dataclass(frozen=True)
class CurrentStats:
    """A row of the query vacuum/current_stats."""

    dead_rows: int | None
    vacuumed_at: datetime | None
    analyzed_at: datetime | None
    total_bytes: int | None

    def is_noted(self, mode: VacuumMode, since: datetime) -> bool:
        """True if the server has noted the work; of VACUUM FULL it notes only the ANALYZE."""
        by_analyze = mode in (VacuumMode.FULL, VacuumMode.ANALYZE)
        noted_at = self.analyzed_at if by_analyze else self.vacuumed_at
        return noted_at is not None and noted_at >= since


@dataclass(frozen=True)
class ExplainedOutcome:
    """The outcome for a table, with the cause and the advice where it was not vacuumed."""

    outcome: VacuumOutcome
    reason: str = ""
    advice: str = ""


DONE = ExplainedOutcome(VacuumOutcome.DONE)
GONE = ExplainedOutcome(VacuumOutcome.GONE, "it was dropped meanwhile")


def explain_lock(table: PlannedTable, sessions: Sequence[Session]) -> ExplainedOutcome:
    """Explain that other sessions hold locks on the table."""
    again = vacuum_command([table.name])
    if not sessions:
        return ExplainedOutcome(VacuumOutcome.SKIPPED, "another session holds a lock on it", again)
    ends = " ".join(f"SELECT pg_terminate_backend({session.pid});" for session in sessions)
    held = "; ".join(map(str, sessions))
    return ExplainedOutcome(
        VacuumOutcome.SKIPPED, f"held by {held}", f"{again}, once that has ended; or end it: {ends}"
    )


def explain_refusal(conn: Connection, table: PlannedTable, message: str) -> ExplainedOutcome:
    """Explain that the role lacks the privilege; `message` is the server's."""
    reason = f"{message} (owner {table.owner})"
    if conn.info.server_version >= MAINTAIN_VERSION:
        role = quote_identifier(conn.info.user)
        name = table.table.identifier.as_string(conn)
        advice = f"as its owner or a superuser run: GRANT MAINTAIN ON TABLE {name} TO {role};"
    else:
        advice = f"connect as {table.owner}, the owner of the database, or a superuser"
    return ExplainedOutcome(VacuumOutcome.SKIPPED, reason, advice)


def explain_error(
    conn: Connection, target: Target, table: PlannedTable, error: psycopg.Error, since: datetime
) -> ExplainedOutcome:
    """Explain a failed statement. Raises the error again if no other table can succeed either."""
    if _is_fatal(error) or conn.closed:
        raise error
    match error:
        case pg.UndefinedTable() | pg.UndefinedObject():
            return GONE
        case pg.InsufficientPrivilege():
            return explain_refusal(conn, table, error.diag.message_primary or str(error))
        case pg.LockNotAvailable():
            return _timed_out(conn, table, since)
    told = translate_query_error(error, target, writes=True)
    return ExplainedOutcome(VacuumOutcome.FAILED, told.why, told.next_step)


def _is_fatal(error: psycopg.Error) -> bool:
    return error.sqlstate is None or isinstance(
        error, (pg.AdminShutdown, pg.CrashShutdown, pg.DiskFull, pg.ReadOnlySqlTransaction)
    )


def _timed_out(conn: Connection, table: PlannedTable, since: datetime) -> ExplainedOutcome:
    """Explain a lock timeout: REINDEX CONCURRENTLY waits for writers and for old snapshots."""
    oid = table.table.oid
    sessions = find_lock_holders(conn, [oid], is_full=True).get(oid, ())
    if sessions:
        return explain_lock(table, sessions)
    holders = find_snapshot_holders(conn, since)
    if not holders:
        return explain_lock(table, ())
    advice = "; ".join(holder.advice for holder in holders)
    held = "; ".join(map(str, holders))
    reason = f"its index can't be rebuilt: an old snapshot is held by {held}"
    return ExplainedOutcome(VacuumOutcome.SKIPPED, reason, advice)


def find_snapshot_holders(
    conn: Connection, since: datetime, *, is_full: bool = False
) -> tuple[SnapshotHolder, ...]:
    """Find what holds a snapshot older than `since`, the oldest first, three at most."""
    parameters = {"since": since, "is_full": is_full}
    with conn.cursor(row_factory=class_row(SnapshotHolder)) as cursor:
        return tuple(cursor.execute(queries.load("vacuum/snapshot_holders"), parameters))


def read_current_stats(conn: Connection, table: PlannedTable) -> CurrentStats | None:
    """Query the statistics; the size is None while another session holds an exclusive lock."""
    query = sql.SQL(queries.load("vacuum/current_stats"))
    # Two statements in one message are one transaction, so this is a SET LOCAL.
    timeout = sql.SQL("SELECT set_config('lock_timeout', {}, true); ").format(SIZE_LOCK_TIMEOUT)
    oid = sql.Literal(table.table.oid)
    with conn.cursor(row_factory=class_row(CurrentStats)) as cursor:
        try:
            size = sql.SQL("pg_total_relation_size(c.oid)")
            cursor.execute(timeout + query.format(oid=oid, size=size))
            cursor.nextset()
        except pg.LockNotAvailable:
            cursor.execute(query.format(oid=oid, size=sql.SQL("NULL::bigint")))
        return cursor.fetchone()


def find_lock_holders(
    conn: Connection, oids: Sequence[int], *, is_full: bool
) -> dict[int, tuple[Session, ...]]:
    """Find the sessions whose locks conflict with VACUUM or VACUUM FULL, by the table's oid."""
    needed = LockMode.ACCESS_EXCLUSIVE if is_full else LockMode.SHARE_UPDATE_EXCLUSIVE
    return find_lock_holders_by_table(conn, oids, needed.conflicts)
