"""What became of a transaction whose connection was lost before the answer to its COMMIT."""

from __future__ import annotations

import time
from contextlib import suppress

import psycopg

from aperture_db import sql
from aperture_db.errors import ApertureDbError
from aperture_db.postgres.connection import connect
from aperture_db.postgres.target import Target

COMMITTED = "committed"
ABORTED = "aborted"
IN_PROGRESS = "in progress"
# How long a server may take to notice that a connection is gone.
ASK_SECONDS = 5.0
ASK_AGAIN_SECONDS = 0.2


def ask_for_status(target: Target, transaction_id: str) -> str:
    """Ask the server, through a connection of its own, until the transaction has ended.

    COMMITTED or ABORTED; IN_PROGRESS when it had not ended in ASK_SECONDS, and empty when it
    could not be asked for.
    """
    status = ""
    with suppress(psycopg.Error, ApertureDbError), connect(target) as conn:
        deadline = time.monotonic() + ASK_SECONDS
        while status in ("", IN_PROGRESS) and time.monotonic() < deadline:
            time.sleep(ASK_AGAIN_SECONDS)
            parameters = {"xid": transaction_id}
            row = conn.execute(sql.load("postgres/transaction_status"), parameters).fetchone()
            status = str(row[0]) if row else ""
    return status
