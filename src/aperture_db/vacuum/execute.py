"""Runs VACUUM or ANALYZE on one table.

VACUUM can't run inside a transaction, so no SET LOCAL can bound its waits, and a plain SET would
leak through a pooler. Therefore it runs with SKIP_LOCKED, and the wait for a lock is a LOCK TABLE
in a transaction of its own, which also makes an autovacuum give way.
"""

from __future__ import annotations

import time
from datetime import datetime

from psycopg import errors as pg
from psycopg import sql

from aperture_db.postgres.connection import set_local
from aperture_db.vacuum import verdict
from aperture_db.vacuum.events import Waiting
from aperture_db.vacuum.figures import Statistics, find_lock_holders, read_statistics
from aperture_db.vacuum.job import (
    POLL_SECONDS,
    Events,
    Job,
    milliseconds,
    run_statement,
    tell_notices,
)
from aperture_db.vacuum.report import Mode, PlannedTable
from aperture_db.vacuum.verdict import Verdict

LOCK_NOT_AVAILABLE = "55P03"
# Until PostgreSQL 15 a separate process keeps the statistics, and a VACUUM's come a bit later.
PROMPT_STATISTICS_VERSION = 150000
LATE_STATISTICS_SECONDS = 2.0

STATEMENTS = {
    Mode.VACUUM: sql.SQL("VACUUM (ANALYZE, SKIP_LOCKED) {}"),
    Mode.REINDEX_HNSW: sql.SQL("VACUUM (ANALYZE, SKIP_LOCKED) {}"),
    Mode.FULL: sql.SQL("VACUUM (FULL, ANALYZE, SKIP_LOCKED) {}"),
    Mode.ANALYZE: sql.SQL("ANALYZE (SKIP_LOCKED) {}"),
}
LOCK = sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE")
LOCK_FULL = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE")


def vacuum(job: Job, table: PlannedTable, since: datetime) -> Events[Verdict]:
    """Run the mode's statement, waiting for a lock as long as allowed."""
    statement = STATEMENTS[job.mode].format(table.table.identifier)
    deadline = time.monotonic() + job.lock_timeout_seconds
    while True:
        yield from run_statement(job, table, statement, len(table.rebuilds))
        if not any(notice.sqlstate == LOCK_NOT_AVAILABLE for notice in job.notices):
            break
        is_full = job.mode is Mode.FULL
        holders = find_lock_holders(job.conn, [table.table.oid], is_full=is_full)
        sessions = holders.get(table.table.oid, ())
        if time.monotonic() >= deadline:
            return verdict.locked(table, sessions)
        yield Waiting(table.name, sessions)
        _wait_for_lock(job, table, deadline)
    warnings = [notice.text for notice in job.notices if notice.severity == "WARNING"]
    latest = read_latest(job, table, since)
    if latest is None:
        return verdict.GONE
    if warnings and not _took_effect(latest, job.mode, since):
        return verdict.refused(job.conn, table, warnings[0])
    yield from tell_notices(job, table)
    return verdict.DONE


def _wait_for_lock(job: Job, table: PlannedTable, deadline: float) -> None:
    """Wait until the lock could be had, or until the deadline."""
    statement = LOCK_FULL if job.mode is Mode.FULL else LOCK
    remaining = max(POLL_SECONDS, deadline - time.monotonic())
    try:
        with job.conn.transaction():
            set_local(job.conn, lock_timeout=milliseconds(remaining))
            job.conn.execute(statement.format(table.table.identifier))
    except pg.LockNotAvailable:
        return
    except (pg.InsufficientPrivilege, pg.WrongObjectType, pg.UndefinedTable):
        # Who may VACUUM need not have the right to LOCK; no materialized view can be locked.
        time.sleep(POLL_SECONDS)


def _took_effect(statistics: Statistics, mode: Mode, since: datetime) -> bool:
    """Whether the server has noted the work; VACUUM FULL is noted by its ANALYZE only."""
    noted = statistics.vacuumed_at
    if mode in (Mode.FULL, Mode.ANALYZE):
        noted = statistics.analyzed_at
    return noted is not None and noted >= since


def read_latest(job: Job, table: PlannedTable, since: datetime) -> Statistics | None:
    """The statistics after the work; None when the table is gone."""
    deadline = time.monotonic() + LATE_STATISTICS_SECONDS
    while True:
        latest = read_statistics(job.conn, [table.table.oid]).get(table.table.oid)
        if (
            latest is None
            or job.conn.info.server_version >= PROMPT_STATISTICS_VERSION
            or _took_effect(latest, job.mode, since)
            or time.monotonic() >= deadline
        ):
            return latest
        time.sleep(POLL_SECONDS / 4)
