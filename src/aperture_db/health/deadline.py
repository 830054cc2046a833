"""An end to waiting that does not depend on the server."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from aperture_db.postgres.connection import Connection


@contextmanager
def cut_off_after(conn: Connection, seconds: float) -> Iterator[threading.Event]:
    """Shut the connection's socket down when the block takes longer, which ends any wait for it.

    Yields what is set when that happened.
    """
    happened = threading.Event()

    def cut() -> None:
        with suppress(OSError, psycopg.Error):
            happened.set()
            with socket.socket(fileno=os.dup(conn.fileno())) as duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield happened
    finally:
        timer.cancel()
