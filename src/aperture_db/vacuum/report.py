"""The plan, the events and the results of a VACUUM; why tables were not vacuumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.errors import Diagnostic
from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.format import quote_identifier, quote_literal, vacuum_command
from aperture_db.postgres.activity import (
    LockMode,
    Session,
    find_lock_holders_by_table,
    name_trigger,
)
from aperture_db.postgres.catalog import Table
from aperture_db.postgres.driver_errors import lacks_shared_memory, translate_query_error
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target
from aperture_db.progress import Warned

INTERNAL = {"json": False}
# Above this share of dead rows, rebuilding an HNSW index beats vacuuming it (bench/vacuum.py).
REBUILD_SHARE = 0.10
# Fewer dead rows than this take no time either way.
MIN_OFFERED_ROWS = 100


class VacuumMode(StrEnum):
    """The command that is run on every table."""

    VACUUM = "vacuum"
    """VACUUM (ANALYZE)."""
    REINDEX_HNSW = "reindex_hnsw"
    """REINDEX INDEX CONCURRENTLY for HNSW indexes, then VACUUM (ANALYZE)."""
    FULL = "full"
    """VACUUM (FULL, ANALYZE): rewrites the table under an exclusive lock."""
    ANALYZE = "analyze"
    """ANALYZE only."""


@dataclass(frozen=True)
class TableIndex:
    """An index of a table."""

    table_oid: int = field(metadata=INTERNAL)
    oid: int = field(metadata=INTERNAL)
    schema: str
    name: str
    is_hnsw: bool
    is_valid: bool
    pages: int
    """Usually 0 where a lock kept them from being counted."""

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True)
class VacuumStats:
    """A table's dead rows and size at one moment; None where a lock or a standby hides them."""

    dead_rows: int | None
    """The estimate of the cumulative statistics."""
    total_bytes: int | None
    """Including TOAST and indexes."""


@dataclass(frozen=True)
class PlannedTable:
    """A table and the work planned for it."""

    name: str
    """Without its schema where the search_path finds it."""
    owner: str
    may_vacuum: bool
    live_rows: int
    before: VacuumStats
    rebuilds: tuple[TableIndex, ...]
    """HNSW indexes to rebuild first."""
    held_by: tuple[Session, ...]
    """Sessions that hold a conflicting lock at the moment."""
    table: Table = field(metadata=INTERNAL)
    indexes: tuple[TableIndex, ...] = field(metadata=INTERNAL)
    toast_oid: int = field(metadata=INTERNAL)
    heap_pages: int = field(metadata=INTERNAL)
    toast_pages: int = field(metadata=INTERNAL)

    @property
    def dead_share(self) -> float:
        """Dead rows as a share of all rows."""
        dead = self.before.dead_rows or 0
        return dead / max(1, dead + self.live_rows)

    @property
    def has_hnsw(self) -> bool:
        return any(index.is_hnsw for index in self.indexes)

    @property
    def is_rebuild_faster(self) -> bool:
        """True if rebuilding its HNSW indexes takes less time than vacuuming them."""
        return (
            self.has_hnsw
            and (self.before.dead_rows or 0) >= MIN_OFFERED_ROWS
            and self.dead_share > REBUILD_SHARE
        )


@dataclass(frozen=True)
class VacuumPlan:
    """The tables to vacuum, in order."""

    mode: VacuumMode
    tables: tuple[PlannedTable, ...]
    offers: tuple[str, ...]
    """Tables for which --reindex-hnsw would be faster."""
    cautions: tuple[str, ...] = ()
    """Warnings to give before the work starts."""
    up_to_date_tables: int = 0
    """Number of tables left out because nothing in them changed since the last run."""


class VacuumOutcome(StrEnum):
    """The end of the work on one table."""

    DONE = "done"
    SKIPPED = "skipped"
    """The server skipped it: a lock was held, or a privilege is missing."""
    FAILED = "failed"
    GONE = "gone"
    """Another session dropped the table in the meantime."""


@dataclass(frozen=True)
class TableResult:
    """The outcome for one table, with its statistics before and after."""

    name: str
    outcome: VacuumOutcome
    before: VacuumStats
    after: VacuumStats
    duration_seconds: float
    rebuilt_indexes: tuple[str, ...] = ()
    reason: str = ""
    """Why it was not done; empty where it was done."""
    advice: str = ""

    @property
    def is_problem(self) -> bool:
        return self.outcome in (VacuumOutcome.SKIPPED, VacuumOutcome.FAILED)


@dataclass(frozen=True)
class SnapshotHolder:
    """A session, slot or transaction whose snapshot keeps dead rows from being removed."""

    kind: str
    """session, standby, prepared transaction or replication slot."""
    name: str | None
    """Name of the slot or prepared transaction; for a session in another database, its database."""
    pid: int | None
    application: str
    user: str
    state: str
    transaction_age_seconds: float | None

    def __str__(self) -> str:
        if self.pid is None:
            return f"{self.kind} {self.name}"
        session = Session(
            self.pid, self.application, self.user, self.state, self.transaction_age_seconds
        )
        elsewhere = f" of the database {self.name}" if self.name else ""
        return f"{self.kind}{elsewhere} ({session})"

    @property
    def advice(self) -> str:
        """The statement or step that ends it."""
        name = quote_literal(self.name or "")
        match self.kind:
            case "prepared transaction":
                return f"ROLLBACK PREPARED {name};"
            case "replication slot":
                return f"SELECT pg_drop_replication_slot({name});"
            case "standby":
                return "turn hot_standby_feedback off on the standby, or end its long queries"
            case _:
                return f"SELECT pg_terminate_backend({self.pid});"


@dataclass(frozen=True)
class VacuumReport:
    """The work done so far, and what remains."""

    mode: VacuumMode
    results: tuple[TableResult, ...]
    remaining: tuple[str, ...]
    """Names of the tables not vacuumed yet."""
    unremovable_rows: int
    """Dead rows that an old snapshot still needs."""
    snapshot_holders: tuple[SnapshotHolder, ...]
    duration_seconds: float
    up_to_date_tables: int = 0
    """Number of tables left out because nothing in them changed since the last run."""

    @property
    def problems(self) -> tuple[TableResult, ...]:
        return tuple(result for result in self.results if result.is_problem)


@dataclass(frozen=True)
class TableStarted:
    """Event: the work on a table begins."""

    name: str
    fraction: float
    """Share of the whole run that is done."""


@dataclass(frozen=True)
class TableFinished:
    """Event: the work on a table has ended, whatever its outcome."""

    result: TableResult
    snapshot_holders: tuple[SnapshotHolder, ...] = ()
    """The oldest snapshots that keep its remaining dead rows, three at most."""


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
    told.__cause__ = error
    name_trigger(told, target)
    return ExplainedOutcome(
        VacuumOutcome.FAILED, "; ".join((told.why, *told.details)), told.next_step
    )


def _is_fatal(error: psycopg.Error) -> bool:
    # Another table's index may fit into /dev/shm.
    if lacks_shared_memory(error):
        return False
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


@dataclass(frozen=True)
class ServerNotice:
    """A message that the server sent beside a statement's result."""

    severity: str
    """In English, whatever the server's language."""
    sqlstate: str
    text: str


def copy_notice(message: Diagnostic) -> ServerNotice:
    """Copy a message: the driver's object is empty once its handler has returned."""
    texts = (message.message_primary, message.message_hint)
    return ServerNotice(
        severity=message.severity_nonlocalized or "",
        sqlstate=message.sqlstate or "",
        text="; ".join(text for text in texts if text),
    )


def left_behind(index: TableIndex) -> Warned:
    """The warning for an invalid index that could not be dropped."""
    statement = sql.SQL("DROP INDEX CONCURRENTLY {};").format(index.identifier).as_string()
    return Warned(f"the invalid index {index.name} remains from a rebuild; drop it: {statement}")
