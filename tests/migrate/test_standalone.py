"""Files that run outside a transaction."""

from __future__ import annotations

import signal
from collections.abc import Callable

import psycopg

from tests.cli import finish, run_cli, start_cli
from tests.migrate.conftest import Directory, recorded
from tests.waiting import wait_until

TABLE = "CREATE TABLE things (id int); INSERT INTO things VALUES (1), (1);"
BUILD = """-- Looks things up.
-- aperture-db: no-transaction
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS things_id ON things (id);
"""


def test_a_concurrent_build_is_applied_and_recorded(
    new_database: Callable[[], str], directory: Directory
) -> None:
    conninfo = new_database()
    table = "CREATE TABLE things (id int);"
    path = str(directory(**{"0001_a": table, "0002_b": BUILD, "0003_c": "SELECT 1;"}))
    runners = [start_cli("migrate", "--dir", path, conninfo=conninfo) for _ in range(4)]
    outcomes = [finish(runner) for runner in runners]
    assert [outcome.code for outcome in outcomes] == [0] * 4, outcomes
    assert recorded(conninfo) == ["0001_a.sql", "0002_b.sql", "0003_c.sql"]
    with psycopg.connect(conninfo) as conn:
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'things_id'::regclass"
        assert conn.execute(valid).fetchone() == (True,)


def test_a_failed_build_names_the_invalid_index_and_is_refused_until_it_is_dropped(
    new_database: Callable[[], str], directory: Directory
) -> None:
    conninfo = new_database()
    path = str(directory(**{"0001_a": TABLE, "0002_b": BUILD}))
    failed = run_cli("migrate", "--dir", path, conninfo=conninfo)
    assert failed.code == 1
    assert "0002_b.sql failed and left the invalid index things_id" in failed.err
    assert "why:   could not create unique index" in failed.err
    assert "next:  run: DROP INDEX CONCURRENTLY things_id;" in failed.err
    assert recorded(conninfo) == ["0001_a.sql"]
    refused = run_cli("migrate", "--dir", path, conninfo=conninfo)
    assert refused.code == 1
    assert "was not applied: index things_id is there, but invalid" in refused.err
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("DROP INDEX CONCURRENTLY things_id")
        conn.execute("TRUNCATE things")
    assert run_cli("migrate", "--dir", path, conninfo=conninfo).code == 0
    assert recorded(conninfo) == ["0001_a.sql", "0002_b.sql"]


def test_a_pooler_refuses_it(
    new_database: Callable[[], str],
    pgbouncer_conninfo: Callable[[str], str],
    directory: Directory,
) -> None:
    conninfo = new_database()
    path = str(directory(**{"0001_a": TABLE, "0002_b": BUILD}))
    outcome = run_cli("migrate", "--dir", path, conninfo=pgbouncer_conninfo(conninfo))
    assert outcome.code == 2
    assert "connect to the server directly" in outcome.err
    assert recorded(conninfo) == []


def test_kill_9_during_a_build_leaves_no_record_and_frees_the_lock(
    new_database: Callable[[], str], directory: Directory
) -> None:
    conninfo = new_database()
    path = str(directory(**{"0001_a": "CREATE TABLE things (id int);"}))
    assert run_cli("migrate", "--dir", path, conninfo=conninfo).code == 0
    directory(**{"0002_b": BUILD})
    with psycopg.connect(conninfo) as blocker:
        blocker.execute("INSERT INTO things VALUES (1)")
        runner = start_cli("migrate", "--dir", path, conninfo=conninfo)
        wait_until(lambda: _invalid_indexes(conninfo) == 1, "the build waits for the writer")
        runner.send_signal(signal.SIGKILL)
        finish(runner)
        wait_until(lambda: _tool_sessions(conninfo) == 0, "the server notices the dead client")
    assert recorded(conninfo) == ["0001_a.sql"]
    refused = run_cli("migrate", "--dir", path, "--lock-wait", "3s", conninfo=conninfo)
    assert "is there, but invalid" in refused.err


def _invalid_indexes(conninfo: str) -> int:
    with psycopg.connect(conninfo) as conn:
        return conn.execute("SELECT FROM pg_index WHERE NOT indisvalid").rowcount


def _tool_sessions(conninfo: str) -> int:
    with psycopg.connect(conninfo) as conn:
        return conn.execute(
            "SELECT FROM pg_stat_activity WHERE application_name = 'aperture-db' "
            "AND datname = current_database()"
        ).rowcount
