"""Carries a plan out: lock, count again, act, verify and commit, all in one transaction."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import psycopg

from aperture_db import sql as queries
from aperture_db.errors import ApertureDbError
from aperture_db.postgres import catalog
from aperture_db.postgres.connection import Connection, connection_check_interval, set_local
from aperture_db.postgres.driver_errors import translate_query_error
from aperture_db.postgres.lost_commits import ABORTED, COMMITTED, ask_for_status
from aperture_db.postgres.target import Target
from aperture_db.purge.assess import Assessment
from aperture_db.purge.events import Committed, Committing, Doing, Event, Phase, Purged
from aperture_db.purge.locks import CONFLICTS, LockRefusedError, changed_meanwhile, describe_refusal
from aperture_db.purge.report import (
    PurgeOutcome,
    PurgePlan,
    TableOutcome,
    UpdateOutcome,
)
from aperture_db.purge.shrink import Shrinking

FIRST_VERSION_WITH_TRANSACTION_TIMEOUT = 170000


@dataclass(frozen=True)
class Limits:
    """What ends a purge before it has changed anything."""

    lock_timeout_seconds: float
    expected_rows: int | None = None
    """The rows that must go; another number is an error."""


class Work(Protocol):
    """What happens inside the transaction, in the order of these methods."""

    def lock(self, conn: Connection, timeout_seconds: float) -> None: ...

    def assess(self, conn: Connection) -> Assessment: ...

    def act(self, conn: Connection) -> Iterator[Doing]: ...

    def verify(self, conn: Connection, *, counters_work: bool) -> None: ...


def execute(
    conn: Connection, target: Target, shown: PurgePlan, work: Work, limits: Limits
) -> Generator[Event, None, None]:
    """Do `work`, which must be what the plan has shown; the last event is Purged.

    Takes ACCESS EXCLUSIVE locks on every table that loses rows, until the commit. Any error,
    interruption or death of this process before the commit leaves everything as it was. Raises
    BusyError, naming the holder, when a lock is not obtained in time.
    """
    started = time.monotonic()
    size_before = _size(conn)
    progress = _Progress()
    with _explained(conn, target, limits, progress):
        interval = connection_check_interval(conn)
        with conn.transaction():
            _set_limits(conn, interval)
            yield Phase("waiting for locks")
            work.lock(conn, limits.lock_timeout_seconds)
            counters_work = _begin(conn, progress)
            yield Phase("counting again")
            assessment = work.assess(conn)
            require_expected(assessment.rows, limits.expected_rows)
            _require_shown(assessment, shown)
            yield Phase("purging")
            yield from work.act(conn)
            yield Phase("verifying that nothing else changed")
            work.verify(conn, counters_work=counters_work)
            progress.is_committing = True
            yield Committing()
    yield Committed()
    shrinking = Shrinking(assessment, progress.transaction_id)
    yield from shrinking.run(conn)
    outcome = _outcome(conn, shown, assessment, started, size_before)
    if names := shrinking.not_shrunk:
        command = target.command_line("vacuum", "--full", *(f"--table={name}" for name in names))
        outcome = replace(outcome, not_shrunk=tuple(names), shrink_command=command)
    yield Purged(outcome)


def require_expected(rows: int, expected_rows: int | None) -> None:
    """Raise ApertureDbError when --expect-rows is another number than `rows`."""
    if expected_rows is not None and rows != expected_rows:
        raise ApertureDbError(
            f"{rows:,} rows would go instead of {expected_rows:,}, so nothing was changed",
            why="--expect-rows names another number than there is now",
            next_step="look at the plan with --dry-run, and run again with its number",
            code="unexpected_rows",
        )


@dataclass
class _Progress:
    """How far the transaction is, for telling what an error means."""

    transaction_id: str = ""
    is_committing: bool = False


def _set_limits(conn: Connection, connection_check_interval: str) -> None:
    """Only the locks are waited for within bounds. The server is to look every second whether
    this process is still there."""
    settings = {
        # Rows that a policy hides would go uncounted with a TRUNCATE: an error instead.
        "row_security": "off",
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "client_connection_check_interval": connection_check_interval,
    }
    if conn.info.server_version >= FIRST_VERSION_WITH_TRANSACTION_TIMEOUT:
        settings["transaction_timeout"] = "0"
    set_local(conn, **settings)


def _begin(conn: Connection, progress: _Progress) -> bool:
    """Note the transaction's id; returns whether the server counts writes."""
    # Deferred checks would keep TRUNCATE and ALTER TABLE from working.
    conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
    row = conn.execute(queries.load("purge/begin")).fetchone()
    assert row is not None
    counters_work, progress.transaction_id = row
    return bool(counters_work)


def _require_shown(assessment: Assessment, shown: PurgePlan) -> None:
    """What is deleted must have been shown before; numbers may differ, tables may not."""
    now = {deletion.table for deletion in assessment.deletions if deletion.rows}
    now |= {update.table for update in assessment.updates if update.rows}
    was = {deletion.table for deletion in shown.deletions}
    was |= {update.table for update in shown.updates}
    if added := now - was:
        raise changed_meanwhile(sorted(added))


@contextmanager
def _explained(
    conn: Connection, target: Target, limits: Limits, progress: _Progress
) -> Iterator[None]:
    """Say with every error what it means for the data."""
    try:
        yield
    except LockRefusedError as refusal:
        raise describe_refusal(
            conn, [refusal.lock.table], CONFLICTS[refusal.lock.mode], limits.lock_timeout_seconds
        ) from refusal
    except psycopg.Error as error:
        cause = translate_query_error(error, target, writes=True)
        if progress.is_committing and conn.broken:
            raise _describe_lost_commit(target, progress.transaction_id) from error
        cause.why = f"{cause.what}: {cause.why}"
        cause.what = "the purge failed and was rolled back, nothing was changed"
        raise cause from error


def _describe_lost_commit(target: Target, transaction_id: str) -> ApertureDbError:
    """The error for a connection that ended between COMMIT and its answer: ask the server."""
    status = ask_for_status(target, transaction_id)
    happened = {
        COMMITTED: "the server says that it was committed: everything of the plan is done",
        ABORTED: "the server says that it was rolled back: nothing was changed",
    }
    return ApertureDbError(
        "the connection was lost while the purge was being committed",
        why=happened.get(status, "whether it was committed could not be asked"),
        next_step="see what is there now with --dry-run",
        code="connection_lost",
    )


def _outcome(
    conn: Connection,
    shown: PurgePlan,
    assessment: Assessment,
    started: float,
    size_before: int | None,
) -> PurgeOutcome:
    size_after = _size(conn)
    planned = {deletion.table: deletion.rows for deletion in shown.deletions}
    planned_updates = {(update.table, update.columns): update.rows for update in shown.updates}
    return PurgeOutcome(
        deleted=tuple(
            TableOutcome(deletion.table, deletion.rows, planned.get(deletion.table, 0))
            for deletion in assessment.deletions
        ),
        updated=tuple(
            UpdateOutcome(
                update.table,
                update.columns,
                update.rows,
                planned_updates.get((update.table, update.columns), 0),
            )
            for update in assessment.updates
        ),
        rows=assessment.rows,
        updated_rows=assessment.updated_rows,
        duration_seconds=time.monotonic() - started,
        size_before_bytes=size_before,
        size_after_bytes=size_after,
        freed_bytes=None if size_before is None or size_after is None else size_before - size_after,
        not_shrunk=(),
    )


def _size(conn: Connection) -> int | None:
    """Of the database; None when it can't be asked any more."""
    try:
        return catalog.read_database(conn).size_bytes
    except psycopg.Error:
        return None
