"""The table aperture_migrations: Aperture's own, shared with its runner."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from aperture_db import sql
from aperture_db.connection import Connection
from aperture_db.migrations.locking import LOCK_KEY


def create_table(conn: Connection) -> None:
    """Make aperture_migrations where it is missing. Needs CREATE on the schema then."""
    row = conn.execute("SELECT to_regclass('aperture_migrations') IS NULL").fetchone()
    if row != (True,):
        return
    try:
        with conn.transaction():
            # Two sessions that create at the same moment could leave the winner with a sequence
            # named aperture_migrations_id_seq1, so the runners of this tool take turns.
            conn.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
            conn.execute(sql.load("migrations/create_table"))
    except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
        # Aperture's own runner takes no lock, and IF NOT EXISTS is no protection against it.
        return


def record(conn: Connection, name: str) -> bool:
    """Record a file in the open transaction and set the guard savepoint behind that; False when
    somebody has recorded it before.

    Locks the table against other writers until the transaction ends.
    """
    cursor = psycopg.ClientCursor(conn).execute(sql.load("migrations/record"), {"name": name})
    cursor.set_result(-2)
    return cursor.rowcount == 1


def is_recorded(conn: Connection, name: str) -> bool:
    """Whether a file is recorded as applied."""
    found = conn.execute("SELECT FROM aperture_migrations WHERE name = %s", [name])
    return found.rowcount == 1


def mark_applied(conn: Connection, names: Sequence[str]) -> tuple[str, ...]:
    """Record files without running them, in one transaction; returns those that were new."""
    create_table(conn)
    with conn.transaction():
        return tuple(name for name in names if record(conn, name))
