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
    Event,
    Started,
    Waiting,
)
from aperture_db.migrations.directory import MigrationFile
from aperture_db.migrations.failures import describe_failure, describe_not_atomic
from aperture_db.migrations.locking import (
    LOCK_KEY,
    Limits,
    Patience,
    lock_not_obtained,
    locked_transaction,
)
from aperture_db.migrations.records import create_table, is_recorded, record
from aperture_db.migrations.script import ScriptError, run_script
from aperture_db.postgres.activity import BlockerWatch, find_advisory_holders
from aperture_db.postgres.connection import Connection, set_local
from aperture_db.postgres.target import Target


def rehearse_files(
    conn: Connection, target: Target, files: Sequence[MigrationFile], limits: Limits
) -> Iterator[Event]:
    """Run `files` in one transaction and roll it back; files that need none are left out.

    Takes the same locks as applying does, and keeps them until the last file is through: others
    may wait that long. Raises what applying would raise; BusyError at the first lock that is not
    obtained in time.
    """
    patience = Patience(limits.lock_wait_seconds, "the rehearsal did not start")
    while True:
        with locked_transaction(conn, limits) as pid:
            if pid is not None:
                yield from _run_all(conn, target, files, limits, pid)
                return
        holders = find_advisory_holders(conn, LOCK_KEY)
        if patience.is_news():
            yield Waiting("the rehearsal", holders, patience.waited_seconds)
        patience.pause(holders)


def _run_all(
    conn: Connection, target: Target, files: Sequence[MigrationFile], limits: Limits, pid: int
) -> Iterator[Event]:
    with BlockerWatch(target, limits.lock_timeout_seconds) as watch:
        watch.start(pid)
        create_table(conn, limits.lock_timeout_seconds)
        for count, file in enumerate(file for file in files if file.in_transaction):
            yield Started(file.name)
            started = time.monotonic()
            try:
                record(conn, file.name)
                run_script(conn, file)
            except psycopg.errors.LockNotAvailable as error:
                raise _stopped(file, limits, watch) from error
            except ScriptError as failure:
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


def _stopped(file: MigrationFile, limits: Limits, watch: BlockerWatch) -> BusyError:
    outcome = f"the rehearsal stopped at {file.name}"
    return lock_not_obtained(outcome, limits.lock_timeout_seconds, watch.stop())


def _restore_settings(conn: Connection, file: MigrationFile, limits: Limits) -> None:
    """What a file's SET does ends with it when it is applied, so here too."""
    if file.changes_session:
        conn.execute(RESET_SESSION)
        set_local(conn, **limits.parameters)
