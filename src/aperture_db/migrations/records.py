"""The table aperture_migrations: Aperture's own, shared with its runner."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from aperture_db import sql
from aperture_db.postgres.connection import Connection, set_local, timeout_parameter


def create_table(conn: Connection, lock_timeout_seconds: float) -> None:
    """Make aperture_migrations where it is missing. Needs CREATE on the schema then.

    Raises LockNotAvailable when another session makes it and does not end its transaction.
    """
    row = conn.execute("SELECT to_regclass('aperture_migrations') IS NULL").fetchone()
    if row != (True,):
        return
    try:
        with conn.transaction():
            set_local(conn, lock_timeout=timeout_parameter(lock_timeout_seconds))
            conn.execute(sql.load("migrations/create_table"))
    except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
        # Another runner was faster by a moment.
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
