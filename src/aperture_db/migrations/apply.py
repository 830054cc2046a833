"""Applies pending migrations, each in one transaction with its record.

A rehearsal applies everything pending in one transaction that is rolled back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import tuple_row

from aperture_db import sql
from aperture_db.errors import ApertureDbError, BusyError
from aperture_db.migrations.directory import MigrationFile
from aperture_db.migrations.transaction import (
    LOCK_KEY,
    Backoff,
    LockLimits,
    StatementError,
    create_table,
    describe_failure,
    describe_lost_commit,
    describe_lost_connection,
    describe_not_atomic,
    is_recorded,
    lock_not_obtained,
    locked_transaction,
    record,
    run_script,
)
from aperture_db.postgres.activity import (
    BlockerWatch,
    Session,
    ask_for_status,
    find_advisory_holders,
    read_timeline,
)
from aperture_db.postgres.connection import connect, is_pooled, set_local
from aperture_db.postgres.driver_errors import translate_query_error
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target
from aperture_db.progress import Event, Phase, Progress, Waiting

# Ends of a wait that are worth another attempt. A deadlock can come from Aperture's own runner,
# which takes the same locks in the other order.
BUSY_ERRORS = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
# What releasing the guard answers when the file's own COMMIT or ROLLBACK has taken it away.
GUARD_GONE_ERRORS = (
    psycopg.errors.InvalidSavepointSpecification,
    psycopg.errors.NoActiveSqlTransaction,
)
# Between two files Aperture's runner needs milliseconds; a file of its own that takes longer holds
# locks, which we wait for.
QUIET_SECONDS = 2.0
LOOK_AGAIN_SECONDS = 0.1
RESET_SESSION = "RESET ALL; RESET SESSION AUTHORIZATION; RESET ROLE"


@dataclass(frozen=True)
class Applied:
    """The file and its record are committed."""

    name: str
    duration_seconds: float


@dataclass(frozen=True)
class AppliedElsewhere:
    """Another runner applied the file meanwhile."""

    name: str


Outcome = Applied | AppliedElsewhere


@dataclass(frozen=True)
class _Runner:
    """What applying a file takes besides the file itself."""

    conn: Connection
    target: Target
    limits: LockLimits
    watch: BlockerWatch
    timeline: str


def apply_files(
    conn: Connection, target: Target, files: Sequence[MigrationFile], limits: LockLimits
) -> Iterator[Event | Outcome]:
    """Apply `files` in order, each exactly once among any number of runners.

    Locks, per file: an advisory lock shared by the runners of this tool, SHARE ROW EXCLUSIVE on
    aperture_migrations (which holds up Aperture's runner), and what the file takes itself. A
    failure rolls its file back and raises ApertureDbError; the files before it stay applied.
    BusyError when waiting for a lock took longer than `limits.lock_wait_seconds`. As long at most
    another runner that applies files meanwhile is given precedence.
    """
    create_table(conn, limits.lock_wait_seconds)
    known: set[str] = set()
    with BlockerWatch(target, limits.lock_timeout_seconds) as watch:
        runner = _Runner(conn, target, limits, watch, read_timeline(conn))
        for applied_count, file in enumerate(files):
            yield Progress(file.name, applied_count, len(files))
            backoff = Backoff(limits.lock_wait_seconds, f"{file.name} was not applied")
            while isinstance(outcome := _attempt(runner, file, applied_count), tuple):
                if backoff.is_news():
                    yield Waiting(file.name, outcome, backoff.waited_seconds)
                backoff.pause(outcome)
            yield outcome
            is_news = isinstance(outcome, AppliedElsewhere) and file.name not in known
            if is_news and file is not files[-1]:
                yield Phase("Letting another runner of migrations finish")
                known = _wait_until_quiet(conn, limits.lock_wait_seconds)


def _wait_until_quiet(conn: Connection, most_seconds: float) -> set[str]:
    """Wait until nobody has recorded a file for QUIET_SECONDS; returns what is recorded.

    Aperture's own runner reads once what is applied, and fails at a file that we apply before it.
    """
    started = quiet_since = time.monotonic()
    names = _recorded_names(conn)
    while (now := time.monotonic()) - quiet_since < QUIET_SECONDS and now - started < most_seconds:
        time.sleep(LOOK_AGAIN_SECONDS)
        if (found := _recorded_names(conn)) != names:
            names, quiet_since = found, time.monotonic()
    return names


def _recorded_names(conn: Connection) -> set[str]:
    return {name for name, _ in conn.ask(sql.compose("migrations/records"), tuple_row)}


def _attempt(
    runner: _Runner, file: MigrationFile, applied_count: int
) -> Applied | AppliedElsewhere | tuple[Session, ...]:
    """Try once to apply a file; where it is locked, the sessions in the way (none if unknown)."""
    conn = runner.conn
    started = time.monotonic()
    try:
        if file.in_transaction:
            is_applied = _apply_in_transaction(runner, file, applied_count)
        else:
            is_applied = _apply_standalone(conn, runner.target, file, runner.limits, runner.watch)
    except BUSY_ERRORS:
        return runner.watch.stop()
    except StatementError as failure:
        if isinstance(failure.cause, BUSY_ERRORS):
            return runner.watch.stop()
        if not conn.closed and is_recorded(conn, file.name):
            return AppliedElsewhere(file.name)
        raise describe_failure(file, failure, applied_count) from failure.cause
    except psycopg.Error as error:
        if conn.closed:
            raise describe_lost_connection(file, error, runner.target, applied_count) from error
        told = translate_query_error(error, runner.target, writes=True)
        undone = "was rolled back" if file.in_transaction else "is not recorded as applied"
        told.details += (f"{file.name} {undone}; applied before it in this run: {applied_count}",)
        raise told from error
    if is_applied is None:
        return find_advisory_holders(conn, LOCK_KEY)
    if is_applied:
        return Applied(file.name, time.monotonic() - started)
    return AppliedElsewhere(file.name)


def _apply_in_transaction(runner: _Runner, file: MigrationFile, applied_count: int) -> bool | None:
    """Whether the file was applied here; None when another runner has the lock."""
    conn = runner.conn
    with locked_transaction(conn, runner.limits) as pid:
        if pid is None:
            return None
        runner.watch.start(pid)
        if not record(conn, file.name):
            return False
        conn.use_original_search_path()
        run_script(conn, file)
        _commit(runner, file, applied_count)
        runner.watch.stop()
    _restore_session(conn, file)
    return True


def _apply_standalone(
    conn: Connection, target: Target, file: MigrationFile, limits: LockLimits, watch: BlockerWatch
) -> bool | None:
    """Run the file's one statement on a connection of its own, then commit its record on `conn`.

    The transaction on `conn` holds the runners' lock meanwhile; being READ COMMITTED and idle,
    it does not keep a CONCURRENTLY build waiting. Returns False when the file was recorded
    before, None when another runner has the lock.
    """
    with locked_transaction(conn, limits) as pid:
        if pid is None:
            return None
        if not record(conn, file.name):
            return False
        with connect(target) as worker:
            worker.schema = conn.schema
            _refuse_invalid_index(worker, file)
            # A lock timeout in the middle of a CONCURRENTLY build would leave an invalid index.
            worker.execute("SET lock_timeout = 0; SET statement_timeout = 0")
            worker.execute(
                "SELECT set_config('client_connection_check_interval', %s, false)",
                [limits.connection_check_interval],
            )
            watch.start(worker.info.backend_pid)
            try:
                run_script(worker, file)
            except StatementError as failure:
                _explain_invalid_index(target, conn.schema, file, failure)
                raise
            watch.stop()
        conn.execute("COMMIT")
    return True


def _index_name(file: MigrationFile) -> str | None:
    """The index that CREATE INDEX CONCURRENTLY would make."""
    tokens = [token.text for token in file.statements[0].tokens]
    if tokens[:1] != ["CREATE"] or "CONCURRENTLY" not in tokens:
        return None
    rest = tokens[tokens.index("CONCURRENTLY") + 1 :]
    if rest[:3] == ["IF", "NOT", "EXISTS"]:
        rest = rest[3:]
    return rest[0] if rest and rest[0] != "ON" else None


def _find_invalid_index(conn: Connection, file: MigrationFile) -> str | None:
    name = _index_name(file)
    if name is None:
        return None
    found = conn.execute(sql.compose("migrations/invalid_index"), {"name": name}).fetchone()
    return str(found[0]) if found else None


def _refuse_invalid_index(conn: Connection, file: MigrationFile) -> None:
    """An earlier attempt failed half way. IF NOT EXISTS would take its remains for the index."""
    if index := _find_invalid_index(conn, file):
        raise ApertureDbError(
            f"migration {file.name} was not applied: index {index} is there, but invalid",
            why="an earlier attempt to build it failed; the server does not use such an index",
            next_step=f"run: DROP INDEX CONCURRENTLY {index}; then: aperture-db migrate",
            code="invalid_index",
        )


def _explain_invalid_index(
    target: Target, schema: str, file: MigrationFile, failure: StatementError
) -> None:
    """Raise an error that names what a failed build left behind, if it did."""
    with connect(target) as observer:
        observer.schema = schema
        index = _find_invalid_index(observer, file)
    if index and not isinstance(failure.cause, psycopg.errors.DuplicateTable):
        cause = failure.cause
        raise ApertureDbError(
            f"migration {file.name} failed and left the invalid index {index}",
            why=f"{cause.diag.message_primary or cause} (SQLSTATE {cause.sqlstate})",
            next_step=f"run: DROP INDEX CONCURRENTLY {index}; fix the cause, then: "
            "aperture-db migrate",
            code="invalid_index",
            details=(
                (f"detail: {cause.diag.message_detail}",) if cause.diag.message_detail else ()
            ),
        ) from cause


def _commit(runner: _Runner, file: MigrationFile, applied_count: int) -> None:
    conn, transaction_id = runner.conn, ""
    try:
        row = conn.execute("SELECT pg_catalog.pg_current_xact_id()::text").fetchone()
        transaction_id = row[0] if row else ""
        done = conn.execute(sql.load("migrations/commit_file"))
    except GUARD_GONE_ERRORS as error:
        conn.execute("ROLLBACK")
        is_kept = is_recorded(conn, file.name)
        raise describe_not_atomic(file, applied_count, is_recorded=is_kept) from error
    except psycopg.Error as error:
        if conn.closed and transaction_id:
            status = ask_for_status(runner.target, transaction_id, runner.timeline)
            raise describe_lost_commit(file, status, applied_count) from error
        if error.sqlstate is None:
            raise
        # Deferred constraints speak up only now.
        raise StatementError(error, file, len(file.statements) + 1) from error
    done.set_result(-1)
    if done.statusmessage != "COMMIT":
        raise ApertureDbError(
            f"migration {file.name} was not committed",
            why=f"the server answered COMMIT with {done.statusmessage}",
            next_step="read the server's log, then run: aperture-db migrate",
            code="migration_failed",
        )


def _restore_session(conn: Connection, file: MigrationFile) -> None:
    """Undo what a file's SET would do to the files behind it. `checks` refuses such a file on a
    pooler, where the connection may not be the same one any more."""
    if file.changes_session and not is_pooled(conn):
        conn.execute(RESET_SESSION)


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
                conn.use_original_search_path()
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
    conn.renew_contract()
