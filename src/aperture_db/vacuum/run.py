"""Runs VACUUM, ANALYZE or REINDEX on the planned tables.

VACUUM can't run inside a transaction, so no SET LOCAL can bound its waits, and a plain SET would
reach other clients of a pooler. Therefore it runs with SKIP_LOCKED, and the wait for a lock is a
LOCK TABLE in a transaction of its own, which also makes an autovacuum give way.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg import sql

from aperture_db import progress
from aperture_db.errors import ApertureDbError, ConnectError
from aperture_db.format import plural
from aperture_db.postgres.connection import (
    Connection,
    connect,
    is_pooled,
    read_build_memory,
    require_direct,
    set_for_session,
    set_local,
    timeout_parameter,
)
from aperture_db.postgres.driver_errors import lacks_shared_memory
from aperture_db.postgres.target import Target
from aperture_db.progress import Progress, Waiting, Warned
from aperture_db.vacuum.plan import indexes_of
from aperture_db.vacuum.progress import (
    Meter,
    Observation,
    ProgressWatch,
    RunningWork,
    observe,
    read_clock,
)
from aperture_db.vacuum.report import (
    DONE,
    GONE,
    CurrentStats,
    ExplainedOutcome,
    PlannedTable,
    ServerNotice,
    SnapshotHolder,
    TableFinished,
    TableResult,
    TableStarted,
    VacuumMode,
    VacuumPlan,
    VacuumStats,
    copy_notice,
    explain_error,
    explain_lock,
    explain_refusal,
    find_lock_holders,
    find_snapshot_holders,
    left_behind,
    read_current_stats,
)

Event: TypeAlias = TableStarted | TableFinished | progress.Event
Result = TypeVar("Result")
Steps: TypeAlias = Generator[Event | None, None, Result]
"""The work on one table: its events, and None where it waits for the server."""

POLL_SECONDS = 0.2
DROP_LOCK_TIMEOUT = "2s"
RECONNECT_SECONDS = 10
LOCK_NOT_AVAILABLE = "55P03"
# Until PostgreSQL 14 a separate process keeps the statistics and receives a VACUUM's a bit later.
PROMPT_STATISTICS_VERSION = 150000
LATE_STATISTICS_SECONDS = 2.0

STATEMENTS = {
    VacuumMode.VACUUM: sql.SQL("VACUUM (ANALYZE, SKIP_LOCKED) {}"),
    VacuumMode.REINDEX_HNSW: sql.SQL("VACUUM (ANALYZE, SKIP_LOCKED) {}"),
    VacuumMode.FULL: sql.SQL("VACUUM (FULL, ANALYZE, SKIP_LOCKED) {}"),
    VacuumMode.ANALYZE: sql.SQL("ANALYZE (SKIP_LOCKED) {}"),
}
REBUILD = sql.SQL("REINDEX INDEX CONCURRENTLY {}")
LOCK = sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE")
LOCK_FULL = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE")


@dataclass(frozen=True)
class VacuumContext:
    """A connection, and what all connections share."""

    conn: Connection
    target: Target
    watch: ProgressWatch
    meter: Meter
    mode: VacuumMode
    lock_timeout_seconds: float
    server_time: Callable[[], datetime]
    ended_one: threading.Event
    """Set when a statement on any of the connections ends."""
    leftovers: list[Warned]
    """Invalid indexes of interrupted rebuilds that could not be dropped."""
    notices: list[ServerNotice] = field(default_factory=list)
    """The server's messages during the current or last statement."""

    def prepare(self, *, has_rebuilds: bool) -> None:
        """Collect the server's messages from now on; bound the waits of rebuilds."""
        self.conn.add_notice_handler(lambda message: self.notices.append(copy_notice(message)))
        if has_rebuilds:
            # REINDEX CONCURRENTLY waits for others' transactions and knows no SKIP_LOCKED.
            timeout = timeout_parameter(self.lock_timeout_seconds)
            set_for_session(self.conn, {"lock_timeout": timeout})


def vacuum_tables(
    conn: Connection,
    target: Target,
    plan: VacuumPlan,
    lock_timeout_seconds: float,
    jobs: int = 1,
) -> Generator[Event, None, None]:
    """Carry out the plan, on up to `jobs` tables at a time. A table that fails is reported in its
    result, and the others go on.

    Takes SHARE UPDATE EXCLUSIVE on each of these tables, ACCESS EXCLUSIVE for VACUUM FULL. Opens a
    connection for progress and one for each further job. Rebuilding indexes needs a direct
    connection: raises UsageError through a pooler. Raises the driver's error when the server or
    the connection is gone, the disk is full, or the server is read-only. An interruption cancels
    the running statements.
    """
    has_rebuilds = any(table.rebuilds for table in plan.tables)
    if has_rebuilds:
        require_direct(conn, "--reindex-hnsw")
    with ProgressWatch(target) as watch, ExitStack() as further:
        first = VacuumContext(
            conn=conn,
            target=target,
            watch=watch,
            meter=Meter(plan.tables, plan.mode),
            mode=plan.mode,
            lock_timeout_seconds=lock_timeout_seconds,
            server_time=read_clock(conn),
            ended_one=threading.Event(),
            leftovers=[],
        )
        contexts = [first]
        while len(contexts) < min(jobs, len(plan.tables)):
            try:
                conn = further.enter_context(connect(target))
            except ConnectError as error:
                yield Warned(f"only {plural(len(contexts), 'connection')} for jobs: {error.why}")
                break
            contexts.append(replace(first, conn=conn, notices=[]))
        waiting = deque(plan.tables)
        for context in contexts:
            context.prepare(has_rebuilds=has_rebuilds)
        try:
            workers = [_work_through(context, waiting) for context in contexts]
            yield from _interleave(workers, first.ended_one)
        except (KeyboardInterrupt, psycopg.Error):
            yield from first.leftovers
            raise


def _interleave(workers: list[Steps[None]], ended_one: threading.Event) -> Iterator[Event]:
    """Advance all workers in turn, and sleep while each of them waits for the server."""
    try:
        while workers:
            ended_one.clear()
            for worker in list(workers):
                for event in worker:
                    if event is None:
                        break
                    yield event
                else:
                    workers.remove(worker)
            if workers:
                ended_one.wait(POLL_SECONDS)
    finally:
        for worker in workers:
            worker.close()


def _work_through(context: VacuumContext, waiting: deque[PlannedTable]) -> Steps[None]:
    """Take one table after the other from those that wait."""
    while waiting:
        table = waiting.popleft()
        yield TableStarted(table.name, context.meter.reached)
        yield from _work_on(context, table)
        context.meter.finish(table)


def _work_on(context: VacuumContext, table: PlannedTable) -> Steps[None]:
    """Rebuild, vacuum and measure one table."""
    started, since = time.monotonic(), context.server_time()
    rebuilt: tuple[str, ...] = ()
    try:
        rebuilt = yield from _rebuild_indexes(context, table)
        outcome = yield from _vacuum(context, table, since)
    except psycopg.Error as error:
        outcome = explain_error(context.conn, context.target, table, error, since)
    while context.leftovers:
        yield context.leftovers.pop()
    current = yield from _read_current(context, table, since, is_awaited=outcome is DONE)
    if current is None:
        outcome = GONE
    dead_rows = current.dead_rows if current else None
    holders: tuple[SnapshotHolder, ...] = ()
    if outcome is DONE and context.mode is not VacuumMode.ANALYZE and dead_rows:
        is_full = context.mode is VacuumMode.FULL
        holders = find_snapshot_holders(context.conn, since, is_full=is_full)
    yield TableFinished(
        TableResult(
            name=table.name,
            outcome=outcome.outcome,
            before=table.before,
            after=VacuumStats(dead_rows, current.total_bytes if current else None),
            duration_seconds=time.monotonic() - started,
            rebuilt_indexes=rebuilt,
            reason=outcome.reason,
            advice=outcome.advice,
        ),
        holders,
    )


def _rebuild_indexes(context: VacuumContext, table: PlannedTable) -> Steps[tuple[str, ...]]:
    """Rebuild the planned HNSW indexes; an unfinished copy of a failed rebuild is dropped."""
    for position, index in enumerate(table.rebuilds):
        known = {found.oid for found in indexes_of(context.conn, table)}
        try:
            yield from _build(context, table, REBUILD.format(index.identifier), position, known)
        except (GeneratorExit, KeyboardInterrupt, psycopg.Error):
            context.leftovers.extend(_drop_leftovers(context, table, known))
            raise
        yield from _pass_notices_on(context, table)
    return tuple(index.name for index in table.rebuilds)


def _build(
    context: VacuumContext, table: PlannedTable, statement: sql.Composed, done: int, known: set[int]
) -> Steps[None]:
    """Run a statement that builds HNSW indexes, with the memory that they need. Where /dev/shm is
    too small for that, an unfinished index that is not `known` is dropped, and less is tried."""
    memory = read_build_memory(context.conn, table.table.oid, table.live_rows)
    for settings in (attempts := memory.attempts()):
        set_for_session(context.conn, settings)
        try:
            yield from _run_statement(context, table, statement, done)
            return
        except pg.DiskFull as error:
            if settings is attempts[-1] or not lacks_shared_memory(error):
                raise
            if known:
                context.leftovers.extend(_drop_leftovers(context, table, known))
        finally:
            with suppress(psycopg.Error):
                set_for_session(context.conn, memory.own_settings)


def _drop_leftovers(context: VacuumContext, table: PlannedTable, known: set[int]) -> list[Warned]:
    """Drop the invalid indexes that are new since `known`; returns a warning for each failure."""
    left: list[Warned] = []
    if context.conn.closed:
        return _find_leftovers(context, table, known)
    for index in indexes_of(context.conn, table):
        if index.is_valid or index.oid in known:
            continue
        statement = sql.SQL("DROP INDEX IF EXISTS {}").format(index.identifier)
        try:
            with context.conn.transaction():
                set_local(context.conn, lock_timeout=DROP_LOCK_TIMEOUT)
                context.conn.execute(statement)
        except psycopg.Error:
            left.append(left_behind(index))
    return left


def _find_leftovers(context: VacuumContext, table: PlannedTable, known: set[int]) -> list[Warned]:
    """The same after the connection was lost: through another one, and only named."""
    try:
        with connect(context.target, wait_seconds=RECONNECT_SECONDS) as other:
            indexes = indexes_of(other, table)
    except (psycopg.Error, ApertureDbError):
        return [Warned(f"an invalid index may remain on {table.name}; aperture-db health names it")]
    return [left_behind(each) for each in indexes if not each.is_valid and each.oid not in known]


def _vacuum(
    context: VacuumContext, table: PlannedTable, since: datetime
) -> Steps[ExplainedOutcome]:
    """Run the mode's statement, and wait for a lock up to the timeout."""
    statement = STATEMENTS[context.mode].format(table.table.identifier)
    deadline = time.monotonic() + context.lock_timeout_seconds
    while True:
        if context.mode is VacuumMode.FULL and table.has_hnsw and not is_pooled(context.conn):
            yield from _build(context, table, statement, 0, set())
        else:
            yield from _run_statement(context, table, statement, len(table.rebuilds))
        if not any(notice.sqlstate == LOCK_NOT_AVAILABLE for notice in context.notices):
            break
        is_full = context.mode is VacuumMode.FULL
        holders = find_lock_holders(context.conn, [table.table.oid], is_full=is_full)
        sessions = holders.get(table.table.oid, ())
        if time.monotonic() >= deadline:
            return explain_lock(table, sessions)
        yield Progress(f"{table.name}: waiting for its lock", context.meter.reached, 1.0)
        yield Waiting(table.name, sessions)
        yield from _wait_for_lock(context, table, deadline)
    warnings = [notice.text for notice in context.notices if notice.severity == "WARNING"]
    if warnings and not table.may_vacuum:
        return explain_refusal(context.conn, table, warnings[0])
    if warnings:
        current = yield from _read_current(context, table, since, is_awaited=True)
        if current is not None and not current.is_noted(context.mode, since):
            return explain_refusal(context.conn, table, warnings[0])
    yield from _pass_notices_on(context, table)
    return DONE


def _wait_for_lock(context: VacuumContext, table: PlannedTable, deadline: float) -> Steps[None]:
    """Wait until the lock is free, or until the deadline."""
    statement = LOCK_FULL if context.mode is VacuumMode.FULL else LOCK
    timeout = timeout_parameter(max(POLL_SECONDS, deadline - time.monotonic()))

    def lock() -> None:
        with context.conn.transaction():
            set_local(context.conn, lock_timeout=timeout)
            context.conn.execute(statement.format(table.table.identifier))

    try:
        with RunningWork(context.conn, lock, context.ended_one) as running:
            while not running.is_over():
                yield None
    except pg.LockNotAvailable:
        return
    except (pg.InsufficientPrivilege, pg.WrongObjectType, pg.UndefinedTable):
        # A role that may VACUUM need not be allowed to LOCK; a materialized view can't be locked.
        yield None


def _run_statement(
    context: VacuumContext, table: PlannedTable, statement: sql.Composed, rebuilt_count: int
) -> Steps[None]:
    """Run one statement and report its progress. Leaving early cancels it on the server."""
    context.notices.clear()
    work = RunningWork(
        context.conn, lambda: context.conn.execute_alone(statement), context.ended_one
    )
    with work as running:
        while True:
            yield None
            if running.is_over():
                return
            seen = observe(context.watch.look(table), table, rebuilt_count)
            if seen is not None:
                text = f"{table.name}: {_describe(context, seen)}"
                yield Progress(text, context.meter.see(table, seen), 1.0)


def _describe(context: VacuumContext, seen: Observation) -> str:
    session = context.watch.find_session(seen.waits_for_pid) if seen.waits_for_pid else None
    return f"{seen}: {session}" if session else str(seen)


def _pass_notices_on(context: VacuumContext, table: PlannedTable) -> Iterator[Warned]:
    for notice in context.notices:
        if notice.severity in ("WARNING", "NOTICE"):
            yield Warned(f"{table.name}: {notice.text}")


def _read_current(
    context: VacuumContext, table: PlannedTable, since: datetime, *, is_awaited: bool
) -> Steps[CurrentStats | None]:
    """Read a table's statistics and size, in one round trip; None when the table is gone.

    With `is_awaited`, wait for statistics that come late until the work is noted in them.
    """
    is_late = is_awaited and context.conn.info.server_version < PROMPT_STATISTICS_VERSION
    deadline = time.monotonic() + LATE_STATISTICS_SECONDS
    while True:
        current = read_current_stats(context.conn, table)
        if current is None or not is_late or current.is_noted(context.mode, since):
            return current
        if time.monotonic() >= deadline:
            return current
        yield None
