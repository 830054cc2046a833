"""A statement that runs while its caller does something else, and ends when its caller leaves."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from aperture_db.postgres.connection import Connection

CANCEL_RETRY_SECONDS = 1.0
CANCEL_TIMEOUT_SECONDS = 5.0


class RunningStatement:
    """Runs one statement in a thread of its own. Leaving the block early cancels it on the
    server and waits until it has ended."""

    def __init__(self, conn: Connection, statement: sql.Composed) -> None:
        self._conn = conn
        self._statement = statement
        self._error: Exception | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while not self._ended.is_set():
            # A cancellation that arrives before the server has begun the statement is lost.
            with suppress(psycopg.Error):
                self._conn.cancel_safe(timeout=CANCEL_TIMEOUT_SECONDS)
            self._ended.wait(CANCEL_RETRY_SECONDS)
        self._thread.join()

    def wait(self, seconds: float) -> bool:
        """Whether it ended within this time. Raises its error."""
        ended = self._ended.wait(seconds)
        if ended and self._error is not None:
            raise self._error
        return ended

    def _run(self) -> None:
        try:
            self._conn.execute(self._statement)
        except Exception as error:
            self._error = error
        finally:
            self._ended.set()
