"""Carries out a plan: lock, count again, act, verify and commit, all in one transaction.

Before that the ratings can be exported, by ids that outlive a purge and the next sync: users are
named, and titles have their ids at IMDb, TMDB, TVDB and on the media server.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import psycopg
from psycopg import sql

from aperture_db import sql as queries
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.format import plural, vacuum_command
from aperture_db.new_files import new_file
from aperture_db.postgres import catalog
from aperture_db.postgres.activity import ABORTED, COMMITTED, ask_for_status, read_timeline
from aperture_db.postgres.connection import connection_check_interval, set_local
from aperture_db.postgres.driver_errors import translate_query_error
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target
from aperture_db.progress import Committed, Committing, Phase, Progress
from aperture_db.purge import PurgeOptions, PurgeTarget
from aperture_db.purge.assessment import Assessment
from aperture_db.purge.deletion import SpaceReturn
from aperture_db.purge.guards import LockRefusedError, changed_meanwhile, describe_refusal
from aperture_db.purge.report import PurgeOutcome, PurgePlan, TableOutcome, UpdateOutcome
from aperture_db.purge.scopes import scope_of
from aperture_db.purge.selection import TRUE, select

FIRST_VERSION_WITH_TRANSACTION_TIMEOUT = 170000


@dataclass(frozen=True)
class PurgeLimits:
    """Conditions that end a purge before it has changed anything."""

    lock_timeout_seconds: float
    expected_rows: int | None = None
    """The number of rows to delete; another number is an error."""


@dataclass(frozen=True)
class Purged:
    """The last event of a purge."""

    outcome: PurgeOutcome


PurgeEvent = Phase | Progress | Committing | Committed | Purged


class PurgeWork(Protocol):
    """The work inside the transaction, in the order of these methods."""

    def lock(self, conn: Connection, timeout_seconds: float) -> None: ...

    def assess(self, conn: Connection) -> Assessment: ...

    def act(self, conn: Connection) -> Iterator[Progress]: ...

    def verify(self, conn: Connection, *, counters_work: bool) -> None: ...


def execute(
    conn: Connection, target: Target, shown: PurgePlan, work: PurgeWork, limits: PurgeLimits
) -> Generator[PurgeEvent, None, None]:
    """Do `work`, which must match the plan `shown`; the last event is Purged.

    Takes ACCESS EXCLUSIVE locks on every table that loses rows, until the commit. Any error,
    interruption or death of this process before the commit leaves everything as it was. Raises
    BusyError, naming the holder, when a lock is not obtained in time.
    """
    started = time.monotonic()
    size_before = _size(conn)
    state = _TransactionState()
    with _explained(conn, target, limits, state):
        interval = connection_check_interval(conn)
        with conn.transaction():
            _set_limits(conn, interval)
            yield Phase("waiting for locks")
            work.lock(conn, limits.lock_timeout_seconds)
            counters_work = _begin(conn, state)
            yield Phase("counting rows again")
            assessment = work.assess(conn)
            require_expected(assessment.rows, limits.expected_rows)
            _require_shown(assessment, shown)
            yield Phase("deleting")
            yield from work.act(conn)
            yield Phase("verifying that nothing else changed")
            work.verify(conn, counters_work=counters_work)
            state.is_committing = True
            yield Committing()
    yield Committed()
    space = SpaceReturn(assessment, state.transaction_id)
    yield from space.run(conn)
    outcome = _outcome(conn, shown, assessment, started, size_before)
    if names := space.not_shrunk:
        command = vacuum_command(names, "--full", *target.options)
        outcome = replace(outcome, not_shrunk=tuple(names), shrink_command=command)
    yield Purged(outcome)


def require_expected(rows: int, expected_rows: int | None) -> None:
    """Raise ApertureDbError when --expect-rows is another number than `rows`."""
    if expected_rows is not None and rows != expected_rows:
        raise ApertureDbError(
            f"{plural(rows, 'row')} would be deleted instead of {expected_rows:,}, nothing was "
            "changed",
            why="--expect-rows gives another number than the database has now",
            next_step="check the plan with --dry-run, and run again with its number",
            code="unexpected_rows",
        )


@dataclass
class _TransactionState:
    """The progress of the transaction, which decides the meaning of an error."""

    transaction_id: str = ""
    timeline: str = ""
    is_committing: bool = False


def _set_limits(conn: Connection, connection_check_interval: str) -> None:
    """Limit only the wait for locks; the server checks every second that this client is there."""
    settings = {
        # TRUNCATE would remove rows that a policy hides from the count: an error instead.
        "row_security": "off",
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "client_connection_check_interval": connection_check_interval,
    }
    if conn.info.server_version >= FIRST_VERSION_WITH_TRANSACTION_TIMEOUT:
        settings["transaction_timeout"] = "0"
    set_local(conn, **settings)


def _begin(conn: Connection, state: _TransactionState) -> bool:
    """Note the transaction's id; True where the server counts writes."""
    # Deferred checks would keep TRUNCATE and ALTER TABLE from working.
    conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
    query = "SELECT current_setting('track_counts')::boolean, pg_current_xact_id()::text"
    row = conn.execute(query).fetchone()
    assert row is not None
    counters_work, state.transaction_id = row
    state.timeline = read_timeline(conn)
    return bool(counters_work)


def _require_shown(assessment: Assessment, shown: PurgePlan) -> None:
    """Everything deleted must have been shown before; numbers may differ, tables may not."""
    now = {deletion.table for deletion in assessment.deletions if deletion.rows}
    now |= {update.table for update in assessment.updates if update.rows}
    was = {deletion.table for deletion in shown.deletions}
    was |= {update.table for update in shown.updates}
    if added := now - was:
        raise changed_meanwhile(sorted(added))


@contextmanager
def _explained(
    conn: Connection, target: Target, limits: PurgeLimits, state: _TransactionState
) -> Iterator[None]:
    """Add to every error its meaning for the data."""
    try:
        yield
    except LockRefusedError as refusal:
        raise describe_refusal(
            conn,
            [refusal.lock.table],
            refusal.lock.mode.conflicts,
            limits.lock_timeout_seconds,
        ) from refusal
    except psycopg.Error as error:
        cause = translate_query_error(error, target, writes=True)
        if state.is_committing and conn.broken:
            raise _describe_lost_commit(target, state) from error
        cause.why = f"{cause.what}: {cause.why}"
        cause.what = "the purge failed and was rolled back, nothing was changed"
        cause.details += tuple(getattr(error, "__notes__", ()))
        raise cause from error


def _describe_lost_commit(target: Target, state: _TransactionState) -> ApertureDbError:
    """The error for a connection that ended between COMMIT and its answer: ask the server."""
    status = ask_for_status(target, state.transaction_id, state.timeline)
    happened = {
        COMMITTED: "the server says that it was committed: the whole plan is done",
        ABORTED: "the server says that it was rolled back: nothing was changed",
    }
    return ApertureDbError(
        "the connection was lost while the purge was being committed",
        why=happened.get(status, "the server could not be asked whether it was committed"),
        next_step="check what is left with --dry-run",
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
    """The size of the database; None when the connection is gone."""
    try:
        return catalog.read_database(conn).size_bytes
    except psycopg.Error:
        return None


RATINGS_TABLE = "user_ratings"


def require_new_file(path: Path) -> None:
    """Raise UsageError when the file exists, or its directory does not."""
    if path.exists() or not path.absolute().parent.is_dir():
        raise UsageError(
            f"the ratings cannot be written to {path}",
            why="it exists" if path.exists() else "its directory does not exist",
            next_step="name a new file in an existing directory",
            code="unusable_file",
        )


def export_ratings(
    conn: Connection, target: PurgeTarget, options: PurgeOptions, path: Path
) -> None:
    """Write the ratings that a purge deletes to a CSV file that only its owner can read, and
    that appears when it is complete.

    One transaction that changes nothing. Needs SELECT on user_ratings, users, movies and series.
    """
    with conn.transaction():
        statement = _export_statement(conn, target, options)
        try:
            with new_file(path) as file, file.writer() as writer:
                if statement is not None:
                    with conn.cursor().copy(statement) as copy:
                        for data in copy:
                            writer.write(data)
        except OSError as error:
            raise ApertureDbError(
                f"the ratings could not be written to {path}, nothing was changed",
                why=error.strerror or str(error),
                next_step="name another file with --export-ratings",
                code="export_failed",
            ) from error


def _export_statement(
    conn: Connection, target: PurgeTarget, options: PurgeOptions
) -> sql.Composed | None:
    """None for a version that has no ratings."""
    tables = catalog.visible_tables(catalog.read_tables(conn))
    if RATINGS_TABLE not in tables:
        return None
    deleted: sql.Composable = TRUE
    if target is not PurgeTarget.EVERYTHING:
        selection = select(conn, scope_of(target, options))
        effect = next((e for e in selection.effects if e.table.name == RATINGS_TABLE), None)
        if effect is None or effect.deleted is None:
            return None
        deleted = effect.deleted
    return sql.SQL(queries.load("purge/export_ratings")).format(
        ratings=tables[RATINGS_TABLE].identifier,
        users=tables["users"].identifier,
        movies=tables["movies"].identifier,
        series=tables["series"].identifier,
        deleted=deleted,
    )
