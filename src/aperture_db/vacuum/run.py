"""Works through a plan, table by table."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator

import psycopg

from aperture_db.postgres.connection import Connection, require_direct
from aperture_db.postgres.target import Target
from aperture_db.vacuum import verdict
from aperture_db.vacuum.events import Event, TableFinished, TableStarted
from aperture_db.vacuum.execute import read_latest, vacuum
from aperture_db.vacuum.figures import Statistics, find_snapshot_holders, read_size, read_statistics
from aperture_db.vacuum.job import Job, milliseconds
from aperture_db.vacuum.rebuild import rebuild_indexes
from aperture_db.vacuum.report import (
    Figures,
    Mode,
    Outcome,
    PlannedTable,
    SnapshotHolder,
    TableResult,
    VacuumPlan,
)
from aperture_db.vacuum.stages import Meter
from aperture_db.vacuum.watch import ProgressWatch


def vacuum_tables(
    conn: Connection, target: Target, plan: VacuumPlan, lock_timeout_seconds: float
) -> Generator[Event, None, None]:
    """Do what the plan says. A table that can't be worked on is told in its result, and the
    others go on.

    Takes SHARE UPDATE EXCLUSIVE on one table at a time, ACCESS EXCLUSIVE for VACUUM FULL. Opens a
    second connection for progress. Rebuilding indexes needs a direct connection: raises UsageError
    through a pooler. Raises the driver's error when the server or the connection is gone, the disk
    is full, or the server can only be read. An interruption cancels the running statement.
    """
    if any(table.rebuilds for table in plan.tables):
        require_direct(conn, "--reindex-hnsw")
        # REINDEX CONCURRENTLY waits for others' transactions, and SKIP_LOCKED is not for it.
        patience = milliseconds(lock_timeout_seconds)
        conn.execute("SELECT set_config('lock_timeout', %s, false)", [patience])
    with ProgressWatch(target) as watch:
        meter = Meter(plan.tables, plan.mode)
        job = Job(conn, target, watch, meter, plan.mode, lock_timeout_seconds)
        job.listen()
        for table in plan.tables:
            yield TableStarted(table, meter.reached)
            yield from _work_on(job, table)
            meter.finish(table)


def _work_on(job: Job, table: PlannedTable) -> Iterator[Event]:
    started = time.monotonic()
    statistics = read_statistics(job.conn, [table.table.oid]).get(table.table.oid)
    if statistics is None:
        nothing = Figures(None, None)
        yield TableFinished(
            TableResult(table.name, Outcome.GONE, nothing, nothing, 0.0, reason=verdict.GONE.reason)
        )
        return
    before = _figures(job, table, statistics)
    rebuilt: tuple[str, ...] = ()
    try:
        rebuilt = yield from rebuild_indexes(job, table)
        outcome = yield from vacuum(job, table, statistics.read_at)
    except psycopg.Error as error:
        outcome = verdict.of_error(job.conn, job.target, table, error, statistics.read_at)
    latest = read_latest(job, table, statistics.read_at) or statistics
    after = _figures(job, table, latest)
    holders: tuple[SnapshotHolder, ...] = ()
    if outcome.outcome is Outcome.DONE and job.mode is not Mode.ANALYZE and after.dead_rows:
        is_full = job.mode is Mode.FULL
        holders = find_snapshot_holders(job.conn, statistics.read_at, is_full=is_full)
    yield TableFinished(
        TableResult(
            name=table.name,
            outcome=outcome.outcome,
            before=before,
            after=after,
            duration_seconds=time.monotonic() - started,
            rebuilt_indexes=rebuilt,
            reason=outcome.reason,
            advice=outcome.advice,
        ),
        holders,
    )


def _figures(job: Job, table: PlannedTable, statistics: Statistics) -> Figures:
    size = read_size(job.conn, table.table)
    return Figures(statistics.dead_rows, size.total_bytes if size else None)
