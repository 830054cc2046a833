"""The table of lock conflicts, against the server's own."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from aperture_db.postgres.activity import LockMode


@pytest.mark.parametrize("held", LockMode)
def test_conflicts_are_those_of_the_server(held: LockMode, new_database: Callable[[], str]) -> None:
    conninfo = new_database()
    with psycopg.connect(conninfo) as holder, psycopg.connect(conninfo) as other:
        other.execute("CREATE TABLE locked ()")
        other.commit()
        holder.execute(f"LOCK TABLE locked IN {held} MODE")
        row = holder.execute(
            "SELECT mode FROM pg_locks WHERE relation = 'locked'::regclass "
            "AND pid = pg_backend_pid() AND mode = %s",
            [held.catalog_name],
        ).fetchone()
        assert row is not None
        for wanted in LockMode:
            try:
                other.execute(f"LOCK TABLE locked IN {wanted} MODE NOWAIT")
                is_refused = False
            except psycopg.errors.LockNotAvailable:
                is_refused = True
            other.rollback()
            assert is_refused == (held.catalog_name in wanted.conflicts), wanted
