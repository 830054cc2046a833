"""Every command must work through a transaction pooler, and leave nothing behind in it."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from aperture_db.errors import UsageError
from aperture_db.postgres.connection import connect, is_pooled, require_direct, set_local
from aperture_db.postgres.settings import resolve_target
from tests.foundation.running import run_probe


def test_a_pooler_is_recognised(
    new_database: Callable[[], str], pgbouncer_conninfo: Callable[[str], str]
) -> None:
    database = new_database()
    with connect(resolve_target(database, None, {})) as direct:
        assert not is_pooled(direct)
        require_direct(direct, "the work")
    with connect(resolve_target(pgbouncer_conninfo(database), None, {})) as pooled:
        assert is_pooled(pooled)
        with pytest.raises(UsageError) as caught:
            require_direct(pooled, "the work")
    error = caught.value
    assert error.what == "the work does not work through a connection pooler"
    assert error.why == "the pooler hands each statement to whichever server process is free"
    assert error.next_step == "connect to the server's own port (5432) instead of the pooler's"
    assert error.code == "pooler"


def test_settings_reach_no_other_client(
    new_database: Callable[[], str], pgbouncer_conninfo: Callable[[str], str]
) -> None:
    pooled = pgbouncer_conninfo(new_database())
    with connect(resolve_target(pooled, None, {}), read_only=True) as conn, conn.transaction():
        set_local(conn, lock_timeout="3s")
        assert conn.execute("SHOW transaction_read_only").fetchone() == ("on",)
        row = conn.execute("SELECT pg_backend_pid()").fetchone()
    with psycopg.connect(pooled) as other:
        # The only server process of this database so far, so it is the same one.
        assert other.execute("SELECT pg_backend_pid()").fetchone() == row
        assert other.execute("SHOW lock_timeout").fetchone() == ("0",)
        assert other.execute("SHOW transaction_read_only").fetchone() == ("off",)
        assert other.execute("SHOW transaction_isolation").fetchone() == ("read committed",)


def test_a_command_through_a_pooler(
    new_database: Callable[[], str], pgbouncer_conninfo: Callable[[str], str]
) -> None:
    pooled = pgbouncer_conninfo(new_database())
    done = run_probe("--write", "--sql", "CREATE TABLE movies AS SELECT 7 AS id", conninfo=pooled)
    assert (done.code, done.out) == (0, "SELECT 1\n")
    done = run_probe("--sql", "SELECT id FROM movies", conninfo=pooled)
    assert (done.code, done.out) == (0, "7\n")
    done = run_probe("--sql", "DELETE FROM movies", conninfo=pooled)
    assert done.code == 1
    assert "why:   cannot execute DELETE in a read-only transaction" in done.err
