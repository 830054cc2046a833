"""Runs a whole file of SQL in one call and says where in it the server found an error."""

from __future__ import annotations

import psycopg
from psycopg import generators
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from aperture_db.migrations.directory import MigrationFile
from aperture_db.postgres.connection import Connection
from aperture_db.postgres.sql_scanner import line_and_column

COPY_STATES = (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)


class ScriptError(Exception):
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
    """Send the text of `file` as it is, in one simple query, and raise ScriptError on failure.

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
            raise ScriptError(copy, file, number)
        if result.status == ExecStatus.FATAL_ERROR:
            raise ScriptError(error_from_result(result, conn.info.encoding), file, number)
