"""A rehearsal: everything pending in one transaction that is rolled back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import psycopg

from aperture_db.errors import BusyError
from aperture_db.migrations.apply import (
    GUARD_GONE_ERRORS,
    RESET_SESSION,
    Applied,
    Outcome,
)
from aperture_db.migrations.directory import MigrationFile
from aperture_db.migrations.script import (
    StatementError,
    describe_failure,
    describe_not_atomic,
    run_script,
)
from aperture_db.migrations.transaction import (
    LOCK_KEY,
    Backoff,
    LockLimits,
    create_table,
    is_recorded,
    lock_not_obtained,
    locked_transaction,
    record,
)
from aperture_db.postgres.activity import BlockerWatch, find_advisory_holders
from aperture_db.postgres.connection import set_local
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target
from aperture_db.progress import Event, Progress, Waiting


def rehearse_files(
    conn: Connection, target: Target, files: Sequence[MigrationFile], limits: LockLimits
) -> Iterator[Event | Outcome]:
    """Run `files` in one transaction and roll it back; files that need none are left out.

    Takes the same locks as applying does, and keeps them until the last file is through: others
    may wait that long. Raises what applying would raise; BusyError at the first lock that is not
    obtained in time.
    """
    backoff = Backoff(limits.lock_wait_seconds, "the rehearsal did not start")
    while True:
        with locked_transaction(conn, limits) as pid:
            if pid is not None:
                yield from _run_all(conn, target, files, limits, pid)
                return
        holders = find_advisory_holders(conn, LOCK_KEY)
        if backoff.is_news():
            yield Waiting("the rehearsal", holders, backoff.waited_seconds)
        backoff.pause(holders)


def _run_all(
    conn: Connection, target: Target, files: Sequence[MigrationFile], limits: LockLimits, pid: int
) -> Iterator[Event | Outcome]:
    with BlockerWatch(target, limits.lock_timeout_seconds) as watch:
        watch.start(pid)
        create_table(conn, limits.lock_timeout_seconds)
        for count, file in enumerate(file for file in files if file.in_transaction):
            yield Progress(file.name, count, len(files))
            started = time.monotonic()
            try:
                record(conn, file.name)
                run_script(conn, file)
            except psycopg.errors.LockNotAvailable as error:
                raise _stopped(file, limits, watch) from error
            except StatementError as failure:
                if isinstance(failure.cause, psycopg.errors.LockNotAvailable):
                    raise _stopped(file, limits, watch) from failure.cause
                raise describe_failure(file, failure, count) from failure.cause
            try:
                conn.execute("RELEASE SAVEPOINT aperture_db_guard")
            except GUARD_GONE_ERRORS as error:
                conn.execute("ROLLBACK")
                is_kept = is_recorded(conn, file.name)
                raise describe_not_atomic(file, count, is_recorded=is_kept) from error
            _restore_settings(conn, file, limits)
            yield Applied(file.name, time.monotonic() - started)


def _stopped(file: MigrationFile, limits: LockLimits, watch: BlockerWatch) -> BusyError:
    outcome = f"the rehearsal stopped at {file.name}"
    return lock_not_obtained(outcome, limits.lock_timeout_seconds, watch.stop())


def _restore_settings(conn: Connection, file: MigrationFile, limits: LockLimits) -> None:
    """What a file's SET does ends with it when it is applied, so here too."""
    if file.changes_session:
        conn.execute(RESET_SESSION)
        set_local(conn, **limits.parameters)
