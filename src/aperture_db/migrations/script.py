"""Runs a whole file of SQL in one call, and describes where and why it failed."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import generators
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from aperture_db.errors import ApertureDbError
from aperture_db.migrations.directory import MigrationFile
from aperture_db.postgres.driver_errors import translate_query_error
from aperture_db.postgres.session import Connection
from aperture_db.postgres.sql_scanner import line_and_column
from aperture_db.postgres.target import Target

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
            raise StatementError(error_from_result(result, conn.info.encoding), file, number)


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
        return (
            "the schema is newer than its records, as after restoring an older dump over it: "
            "restore a backup into an emptied database, or record what is there with "
            "aperture-db migrate --mark-applied NAME"
        )
    if error.sqlstate is None or isinstance(error, psycopg.errors.AdminShutdown):
        return "read the server's log, then run: aperture-db migrate"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return "run the migration as the owner of Aperture's tables"
    return "correct the cause, then run: aperture-db migrate"
