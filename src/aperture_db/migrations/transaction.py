"""The transaction of a file: the lock that its runners share, its record, and running its text.

The records are Aperture's own table aperture_migrations, shared with its runner.

The lock belongs to the transaction: a session's lock would stay behind on a pooler's connection.
It is tried for, not waited for, because a waiting statement would keep CONCURRENTLY builds of the
holder from finishing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import generators
from psycopg import sql as identifiers
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus

from aperture_db import sql
from aperture_db.aperture.tables import MIGRATIONS_TABLE
from aperture_db.errors import ApertureDbError, BusyError
from aperture_db.format import quote_identifier, quote_literal
from aperture_db.migrations.directory import MigrationFile
from aperture_db.migrations.status import NEWER_THAN_RECORDS, read_environment
from aperture_db.postgres.activity import ABORTED, COMMITTED, Session
from aperture_db.postgres.connection import set_local, timeout_parameter
from aperture_db.postgres.driver_errors import is_hidden_by_policy, translate_query_error
from aperture_db.postgres.server_messages import hide_values
from aperture_db.postgres.session import Connection
from aperture_db.postgres.sql_scanner import line_and_column
from aperture_db.postgres.target import Target

# Every runner of this tool uses this key: "aperture" in ASCII, which fits a bigint.
LOCK_KEY = 0x6170657274757265
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
TELL_INTERVAL_SECONDS = 30.0


@dataclass(frozen=True)
class LockLimits:
    """How long locks are waited for, and how soon the server notices a dead client."""

    lock_wait_seconds: float
    """For everything that others hold, per file."""
    lock_timeout_seconds: float
    """For one attempt of a statement; readers queue up behind DDL that waits."""
    connection_check_interval: str = "0"

    @property
    def parameters(self) -> dict[str, str]:
        """The configuration parameters of a file's transaction."""
        return {
            "lock_timeout": timeout_parameter(self.lock_timeout_seconds),
            "statement_timeout": "0",
            "idle_in_transaction_session_timeout": "0",
            "client_connection_check_interval": self.connection_check_interval,
        }


@contextmanager
def locked_transaction(conn: Connection, limits: LockLimits) -> Iterator[int | None]:
    """A transaction that holds the runners' lock; yields the server process's pid.

    Yields None, the transaction then being empty, when another runner has the lock. At the end
    of the block whatever is still open is rolled back: only the block commits.
    """
    try:
        conn.begin()
        parameters = {"lock_key": LOCK_KEY, **limits.parameters}
        row = conn.execute(sql.load("migrations/begin_file"), parameters).fetchone()
        assert row is not None
        obtained, pid, *_ = row
        yield pid if obtained else None
    finally:
        if not conn.closed and conn.info.transaction_status != TransactionStatus.IDLE:
            conn.execute("ROLLBACK")


# Another runner made the table a moment ago: which error it is depends on how far that was.
FASTER_RUNNER = (
    psycopg.errors.DuplicateObject, psycopg.errors.DuplicateTable, psycopg.errors.UniqueViolation,
)  # fmt: skip


def create_table(conn: Connection, lock_timeout_seconds: float) -> None:
    """Make aperture_migrations where it is missing. Needs CREATE on the schema then.

    Raises LockNotAvailable when another session makes it and does not end its transaction.
    """
    if read_environment(conn).is_tracked:
        return
    try:
        with conn.transaction():
            set_local(conn, lock_timeout=timeout_parameter(lock_timeout_seconds))
            conn.execute(sql.compose("migrations/create_table"))
    except FASTER_RUNNER:
        return


def record(conn: Connection, name: str) -> bool:
    """Record a file in the open transaction and set the guard savepoint behind that; False when
    somebody has recorded it before.

    Locks the table against other writers until the transaction ends.
    """
    cursor = psycopg.ClientCursor(conn)
    try:
        cursor.execute(sql.compose("migrations/record"), {"name": name})
    except psycopg.errors.UniqueViolation as error:
        # The name is not there, and nobody else writes: it is the id.
        if error.diag.table_name != MIGRATIONS_TABLE:
            raise
        table = f"{quote_identifier(conn.schema)}.{MIGRATIONS_TABLE}"
        sequence = f"pg_get_serial_sequence({quote_literal(table)}, 'id')"
        remedy = f"SELECT setval({sequence}, max(id)) FROM {table};"  # noqa: S608
        raise ApertureDbError(
            f"{name} could not be recorded, and was not applied",
            why="the sequence of aperture_migrations.id gives out numbers that are taken: "
            "rows were copied into the table without setting it",
            next_step=f"set it, then run again: {remedy}",
            code="sequence_behind",
        ) from error
    cursor.set_result(-2)
    return cursor.rowcount == 1


def is_recorded(conn: Connection, name: str) -> bool:
    """Whether a file is recorded as applied."""
    query = identifiers.SQL("SELECT FROM {} WHERE name = %s")
    found = conn.execute(
        query.format(identifiers.Identifier(conn.schema, MIGRATIONS_TABLE)), [name]
    )
    return found.rowcount == 1


def mark_applied(
    conn: Connection, names: Sequence[str], lock_timeout_seconds: float
) -> tuple[str, ...]:
    """Record files without running them, in one transaction; returns those that were new.

    Raises LockNotAvailable when another session keeps aperture_migrations locked.
    """
    create_table(conn, lock_timeout_seconds)
    with conn.transaction():
        set_local(conn, lock_timeout=timeout_parameter(lock_timeout_seconds))
        return tuple(name for name in names if record(conn, name))


class Backoff:
    """Paces repeated attempts at something that others hold. `outcome` says what it means when
    the time is up."""

    def __init__(self, wait_seconds: float, outcome: str) -> None:
        self._outcome = outcome
        self._started = time.monotonic()
        self._wait_seconds = wait_seconds
        self._pause = FIRST_PAUSE_SECONDS
        self._told = float("-inf")

    @property
    def waited_seconds(self) -> float:
        return time.monotonic() - self._started

    def is_news(self) -> bool:
        """Whether it is time to tell the user, again."""
        if self.waited_seconds - self._told < TELL_INTERVAL_SECONDS:
            return False
        self._told = self.waited_seconds
        return True

    def pause(self, holders: tuple[Session, ...]) -> None:
        """Sleep before the next attempt. Raises BusyError once the time is up."""
        left = self._wait_seconds - self.waited_seconds
        if left <= 0:
            raise lock_not_obtained(self._outcome, self._wait_seconds, holders)
        time.sleep(min(self._pause, left))
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)


def lock_not_obtained(
    outcome: str, waited_seconds: float, holders: tuple[Session, ...]
) -> BusyError:
    """The error for a lock that others held too long. `outcome` says what did not happen."""
    return BusyError(
        f"{outcome}: timed out after {waited_seconds:g} s waiting for a lock",
        why=f"held by {holders[0]}"
        if holders
        else "the session that holds it could not be seen (that needs pg_monitor)",
        next_step=f"SELECT pg_terminate_backend({holders[0].pid}); or stop Aperture, "
        "then run: aperture-db migrate"
        if holders
        else "stop Aperture, then run: aperture-db migrate",
        details=tuple(f"held by {holder}" for holder in holders[1:]),
    )


DUPLICATE_OBJECT_ERRORS = (
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateColumn,
    psycopg.errors.DuplicateObject,
    psycopg.errors.DuplicateFunction,
)
EXCERPT_CHARACTERS = 100
COPY_STATES = (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)


class StatementError(Exception):
    """A statement of a file failed.

    `statement_number`, `line` and `column` count from 1. The server gives no position for
    violated constraints or RAISE: then `column` is None and `line` the statement's first.
    """

    def __init__(self, cause: psycopg.Error, file: MigrationFile, statement_number: int) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.statement_number = statement_number
        self.column: int | None = None
        if position := cause.diag.statement_position:
            self.line, self.column = line_and_column(file.text, int(position) - 1)
        elif statement_number <= len(file.statements):
            offset = file.statements[statement_number - 1].offset
            self.line, _ = line_and_column(file.text, offset)
        else:
            self.line, _ = line_and_column(file.text, len(file.text.rstrip()))


def run_script(conn: Connection, file: MigrationFile) -> None:
    """Send the text of `file` as it is, in one simple query, and raise StatementError on failure.

    `cursor.execute` would do the same but keeps to itself how many statements succeeded, which is
    the only trace of the failing one where the server gives no position. Ctrl-C cancels the
    statement on the server.
    """
    conn.pgconn.send_query(file.text.encode())
    results = conn.wait(generators.execute(conn.pgconn))
    for number, result in enumerate(results, start=1):
        if result.status in COPY_STATES:
            # The server waits for data now, and nothing but closing ends that.
            conn.close()
            copy = psycopg.errors.FeatureNotSupported("COPY from or to the client")
            raise StatementError(copy, file, number)
        if result.status == ExecStatus.FATAL_ERROR:
            error = error_from_result(result, conn.info.encoding)
            hide_values(error)
            raise StatementError(error, file, number)


def describe_failure(
    file: MigrationFile, failure: StatementError, applied_count: int
) -> ApertureDbError:
    """The error for a statement that the server refused."""
    place = f"line {failure.line}"
    place += (
        f", column {failure.column}"
        if failure.column
        else f" (statement {failure.statement_number})"
    )
    cause = failure.cause
    state = f" (SQLSTATE {cause.sqlstate})" if cause.sqlstate else ""
    undone = "was rolled back" if file.in_transaction else "is not recorded as applied"
    return ApertureDbError(
        f"migration {file.name} failed at {place}",
        why=f"{cause.diag.message_primary or str(cause).strip()}{state}",
        next_step=_next_step(cause),
        code="migration_failed",
        details=(
            *_excerpt(file, failure),
            *_server_remarks(cause),
            f"{file.name} {undone}; applied before it in this run: {applied_count}",
        ),
    )


def describe_lost_connection(
    file: MigrationFile, error: psycopg.Error, target: Target, applied_count: int
) -> ApertureDbError:
    """The error for a server that went away while a file was run."""
    lost = translate_query_error(error, target, writes=True)
    return ApertureDbError(
        f"{lost.what} during migration {file.name}",
        why=lost.why,
        next_step="read the server's log, then run: aperture-db migrate",
        code=lost.code,
        details=(
            (
                f"the server rolls {file.name} back unless its COMMIT came through; "
                f"applied before it in this run: {applied_count}"
            ),
        ),
    )


def describe_lost_commit(file: MigrationFile, status: str, applied_count: int) -> ApertureDbError:
    """The error for a connection that ended between COMMIT and its answer; `status` is what the
    server said about the transaction when it was asked."""
    outcomes = {
        COMMITTED: "the server reports that it was committed",
        ABORTED: "the server reports that it was rolled back",
    }
    applied_count += status == COMMITTED
    return ApertureDbError(
        f"the connection was lost while migration {file.name} was being committed",
        why=outcomes.get(status, "the server could not be asked whether it was committed"),
        next_step="see what is applied with aperture-db migrate --status, then run: "
        "aperture-db migrate",
        code="connection_lost",
        details=(f"known to be applied in this run: {applied_count}",),
    )


def describe_not_atomic(
    file: MigrationFile, applied_count: int, *, is_recorded: bool
) -> ApertureDbError:
    """The error for a file that ended the transaction it was run in."""
    return ApertureDbError(
        f"migration {file.name} is not atomic: it ended its own transaction",
        why="what it did before that point is committed, and the rest may be too; "
        f"it is {'' if is_recorded else 'not '}recorded as applied",
        next_step="compare the database with the file by hand, remove COMMIT and ROLLBACK from "
        "it, and restore a backup if in doubt",
        code="migration_not_atomic",
        details=(f"applied before it in this run: {applied_count}",),
    )


def _excerpt(file: MigrationFile, failure: StatementError) -> Iterator[str]:
    """The line of the error, and a caret below the column where the server gave one."""
    lines = file.text.splitlines()
    if not 0 < failure.line <= len(lines):
        return
    text = lines[failure.line - 1]
    column = failure.column or 1
    start = max(0, column - EXCERPT_CHARACTERS * 3 // 4)
    prefix = f"{failure.line} | "
    yield prefix + text[start : start + EXCERPT_CHARACTERS].rstrip()
    if failure.column:
        lead = "".join(c if c == "\t" else " " for c in text[start : column - 1])
        yield " " * (len(prefix) - 2) + "| " + lead + "^"


def _server_remarks(error: psycopg.Error) -> Iterator[str]:
    remarks = {
        "detail": error.diag.message_detail,
        "hint": error.diag.message_hint,
        "context": error.diag.context,
    }
    for label, text in remarks.items():
        if text:
            yield f"{label}: {' / '.join(text.splitlines())}"


def _next_step(error: psycopg.Error) -> str:
    if isinstance(error, DUPLICATE_OBJECT_ERRORS):
        return NEWER_THAN_RECORDS
    if error.sqlstate is None or isinstance(error, psycopg.errors.AdminShutdown):
        return "read the server's log, then run: aperture-db migrate"
    if is_hidden_by_policy(error):
        return (
            "run the migration as a role that sees all rows: row-level security spares superusers, "
            "roles with BYPASSRLS, and owners without FORCE ROW LEVEL SECURITY"
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return "run the migration as the owner of Aperture's tables"
    return "correct the cause, then run: aperture-db migrate"
