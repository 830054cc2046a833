"""The one transaction of a restore, and what became of it when its connection is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from aperture_db.errors import ApertureDbError
from aperture_db.postgres.connection import Connection
from aperture_db.postgres.lost_commits import ABORTED, COMMITTED, ask_for_status
from aperture_db.postgres.target import Target


class Outcome:
    """Knows what to ask the server for, when the connection is lost."""

    transaction_id = ""

    def note_complete(self, conn: Connection) -> None:
        """Everything is done but the COMMIT."""
        row = conn.execute("SELECT pg_current_xact_id()::text").fetchone()
        assert row is not None
        self.transaction_id = row[0]


@contextmanager
def transaction(target: Target, conn: Connection) -> Iterator[Outcome]:
    """One transaction. A connection that is lost during its COMMIT is no proof of a failure, so
    the server is asked through another one."""
    outcome = Outcome()
    try:
        with conn.transaction():
            yield outcome
    except psycopg.OperationalError as error:
        if not outcome.transaction_id:
            raise
        status = ask_for_status(target, outcome.transaction_id)
        told = {
            COMMITTED: "the server says that it was committed: the restore is complete",
            ABORTED: "the server says that it was rolled back: the database is as it was",
        }
        raise ApertureDbError(
            "the connection was lost at the very end of the restore",
            why=told.get(status, "the server could not be asked what became of the transaction"),
            next_step="see what is there: aperture-db stats",
            code="connection_lost",
        ) from error
