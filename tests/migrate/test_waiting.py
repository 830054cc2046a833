"""Locks that others hold, and processes that die in the middle."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from aperture_db import sql
from aperture_db.migrations import MigrationStatus, status
from aperture_db.migrations.transaction import LOCK_KEY
from aperture_db.postgres.session import Connection
from tests.cli import finish, run_cli, start_cli
from tests.migrate.conftest import CREATE_THINGS, Directory, recorded, table_exists
from tests.program import run_inside
from tests.proxy import Gate, proxied
from tests.waiting import wait_until, waits_for_lock

ALTER = "SELECT 1;\nALTER TABLE things ADD COLUMN name text;\n"


@contextmanager
def holding(conninfo: str, statement: str) -> Iterator[psycopg.Connection]:
    """Another session that keeps a transaction open after `statement`."""
    with psycopg.connect(conninfo, application_name="a blocker") as conn:
        conn.execute(statement)
        yield conn
        conn.rollback()


def test_ddl_that_stays_blocked_ends_busy_and_names_the_holder(
    new_database: Callable[[], str], directory: Directory
) -> None:
    conninfo = new_database()
    path = str(directory(**{"0001_a": CREATE_THINGS}))
    assert run_cli("migrate", "--dir", path, conninfo=conninfo).code == 0
    directory(**{"0002_b": ALTER})
    with holding(conninfo, "SELECT * FROM things") as blocker:
        outcome = run_cli(
            "migrate", "--dir", path, "--lock-wait", "2s", "--lock-timeout", "900ms",
            conninfo=conninfo,
        )  # fmt: skip
        pid = blocker.info.backend_pid
    assert outcome.code == 6
    error = outcome.err.split("error: ")[1].splitlines()
    assert error[0].startswith(
        "0002_b.sql was not applied: timed out after 2 s waiting for a lock ("
    )
    assert error[1].startswith(f"why:   held by pid {pid}, a blocker, user postgres, idle in trans")
    assert f"next:  SELECT pg_terminate_backend({pid});" in outcome.err
    assert "0002_b.sql: waiting for " in outcome.err
    assert recorded(conninfo) == ["0001_a.sql"]


@pytest.mark.parametrize(
    "held",
    ["SELECT * FROM things", "LOCK TABLE aperture_migrations IN EXCLUSIVE MODE"],
    ids=["DDL", "records"],
)
def test_a_rehearsal_stops_at_the_first_lock_that_is_not_obtained(
    new_database: Callable[[], str], directory: Directory, held: str
) -> None:
    conninfo = new_database()
    path = str(directory(**{"0001_a": CREATE_THINGS}))
    assert run_cli("migrate", "--dir", path, conninfo=conninfo).code == 0
    directory(**{"0002_b": ALTER})
    with holding(conninfo, held) as blocker:
        outcome = run_cli(
            "migrate", "--rehearse", "--dir", path, "--lock-timeout", "900ms", conninfo=conninfo
        )
        pid = blocker.info.backend_pid
    assert outcome.code == 6
    message = "the rehearsal stopped at 0002_b.sql: timed out after 0.9 s waiting for a lock ("
    assert f"error: {message}" in outcome.err
    assert f"why:   held by pid {pid}, a blocker" in outcome.err
    assert recorded(conninfo) == ["0001_a.sql"]


def test_ddl_is_repeated_until_the_holder_is_done(
    new_database: Callable[[], str], directory: Directory
) -> None:
    conninfo = new_database()
    path = str(directory(**{"0001_a": CREATE_THINGS}))
    assert run_cli("migrate", "--dir", path, conninfo=conninfo).code == 0
    directory(**{"0002_b": ALTER})
    with holding(conninfo, "SELECT * FROM things"):
        runner = start_cli("migrate", "--dir", path, "--lock-timeout", "200ms", conninfo=conninfo)
        assert runner.stderr is not None
        assert "0002_b.sql: waiting for " in (line := runner.stderr.readline())
        assert "held by pid" in line
    assert finish(runner).code == 0
    assert recorded(conninfo) == ["0001_a.sql", "0002_b.sql"]


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
def test_the_runners_lock_is_waited_for_and_its_holder_named(
    new_database: Callable[[], str],
    pgbouncer_conninfo: Callable[[str], str],
    directory: Directory,
    pooled: bool,
) -> None:
    conninfo = new_database()
    address = pgbouncer_conninfo(conninfo) if pooled else conninfo
    path = str(directory(**{"0001_a": CREATE_THINGS}))
    with holding(conninfo, f"SELECT pg_advisory_xact_lock({LOCK_KEY})") as blocker:
        outcome = run_cli("migrate", "--dir", path, "--lock-wait", "500ms", conninfo=address)
        pid = blocker.info.backend_pid
    assert outcome.code == 6
    assert f"why:   held by pid {pid}, a blocker" in outcome.err
    assert run_cli("migrate", "--dir", path, conninfo=address).code == 0


def test_a_runner_that_comes_second_to_the_record_table_leaves_no_second_sequence(
    new_database: Callable[[], str], directory: Directory
) -> None:
    conninfo = new_database()
    path = str(directory(**{"0001_a": CREATE_THINGS}))
    with psycopg.connect(conninfo) as faster:
        faster.execute(sql.load("migrations/create_table").replace("{schema}", "public"))
        runner = start_cli("migrate", "--dir", path, conninfo=conninfo)
        wait_until(lambda: waits_for_lock(conninfo), "the runner waits for the table's name")
    outcome = finish(runner)
    assert outcome.code == 0, outcome.err
    with psycopg.connect(conninfo) as conn:
        sequences = conn.execute("SELECT relname FROM pg_class WHERE relkind = 'S'").fetchall()
    assert sequences.count(("aperture_migrations_id_seq",)) == 1
    assert not [name for (name,) in sequences if name.endswith("seq1")]


def test_a_record_table_that_another_runner_makes_meanwhile_is_not_somebody_else_s(
    new_database: Callable[[], str], directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    conninfo = new_database()
    read_records = status.collect

    def collect(conn: Connection, *arguments: Any) -> MigrationStatus:
        found = read_records(conn, *arguments)
        with psycopg.connect(conninfo) as faster:
            faster.execute(sql.load("migrations/create_table").replace("{schema}", "public"))
        monkeypatch.undo()
        return found

    monkeypatch.setattr(status, "collect", collect)
    path = str(directory(**{"0001_a": CREATE_THINGS}))
    outcome = run_inside("migrate", "--dir", path, database=conninfo)
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("mode", [[], ["--mark-applied", "0001_a"]], ids=["apply", "mark"])
def test_a_record_table_that_another_session_keeps_is_not_waited_for_without_end(
    new_database: Callable[[], str], directory: Directory, mode: list[str]
) -> None:
    conninfo = new_database()
    path = str(directory(**{"0001_a": CREATE_THINGS}))
    with holding(conninfo, sql.load("migrations/create_table").replace("{schema}", "public")):
        outcome = run_cli("migrate", "--dir", path, "--lock-wait", "0", *mode, conninfo=conninfo)
    assert outcome.code == 6
    assert outcome.err.startswith("error: timed out waiting for a lock (")
    assert not table_exists(conninfo, "aperture_migrations")


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
def test_after_kill_9_nothing_of_the_file_is_kept_and_the_next_run_completes(
    new_database: Callable[[], str],
    pgbouncer_conninfo: Callable[[str], str],
    directory: Directory,
    pooled: bool,
) -> None:
    conninfo = new_database()
    address = pgbouncer_conninfo(conninfo) if pooled else conninfo
    slow = "CREATE TABLE half (id int);\nSELECT pg_sleep(600);\n"
    path = str(directory(**{"0001_a": CREATE_THINGS, "0002_slow": slow}))
    runner = start_cli("migrate", "--dir", path, conninfo=address)
    wait_until(lambda: is_sleeping(conninfo), "the second file runs")
    runner.send_signal(signal.SIGKILL)
    finish(runner)
    directory(**{"0002_slow": "CREATE TABLE half (id int);"})
    # The lock is free within two seconds: waiting longer would be an error here.
    outcome = run_cli("migrate", "--dir", path, "--lock-wait", "3s", conninfo=address)
    assert outcome.code == 0, outcome.err
    assert recorded(conninfo) == ["0001_a.sql", "0002_slow.sql"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"]
)
def test_a_signal_cancels_the_statement_and_rolls_the_file_back(
    new_database: Callable[[], str], directory: Directory, number: signal.Signals, code: int
) -> None:
    conninfo = new_database()
    slow = "CREATE TABLE half (id int);\nSELECT pg_sleep(600);\n"
    path = str(directory(**{"0001_a": CREATE_THINGS, "0002_slow": slow}))
    runner = start_cli("migrate", "--dir", path, conninfo=conninfo)
    wait_until(lambda: is_sleeping(conninfo), "the second file runs")
    runner.send_signal(number)
    outcome = finish(runner)
    assert outcome.code == code
    assert outcome.err.splitlines()[-1] == (
        "interrupted: 1 of 2 pending migrations were applied and stay applied; "
        "the next one was applied as a whole or not at all"
    )
    assert not is_sleeping(conninfo)
    assert (recorded(conninfo), table_exists(conninfo, "half")) == (["0001_a.sql"], False)


def is_sleeping(conninfo: str) -> bool:
    """Whether a statement of the tool sleeps."""
    with psycopg.connect(conninfo) as conn:
        found = conn.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event = 'PgSleep'"
        )
        return found.rowcount > 0


def test_a_cut_connection_keeps_nothing_of_the_file(
    new_database: Callable[[], str], directory: Directory
) -> None:
    conninfo = new_database()
    slow = "CREATE TABLE half (id int);\nSELECT pg_sleep(600);\n"
    path = str(directory(**{"0001_a": CREATE_THINGS, "0002_slow": slow}))
    runner = start_cli("migrate", "--dir", path, conninfo=conninfo)
    wait_until(lambda: is_sleeping(conninfo), "the second file runs")
    with psycopg.connect(conninfo) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event = 'PgSleep'"
        )
    outcome = finish(runner)
    assert outcome.code == 1
    assert "migration 0002_slow.sql failed at line 2" in outcome.err
    assert "why:   terminating connection due to administrator command" in outcome.err
    assert "next:  read the server's log" in outcome.err
    assert (recorded(conninfo), table_exists(conninfo, "half")) == (["0001_a.sql"], False)


def test_a_server_that_goes_away_without_a_word_keeps_nothing_of_the_file(
    new_database: Callable[[], str], directory: Directory
) -> None:
    conninfo = new_database()
    slow = "CREATE TABLE half (id int);\nSELECT pg_sleep(600);\n"
    path = str(directory(**{"0001_a": CREATE_THINGS, "0002_slow": slow}))
    with proxied(conninfo, Gate()) as proxy:
        runner = start_cli("migrate", "--json", "--dir", path, conninfo=proxy.conninfo)
        wait_until(lambda: is_sleeping(conninfo), "the second file runs")
        proxy.cut()
        outcome = finish(runner)
    assert outcome.code == 1
    error = outcome.envelope["error"]
    assert error["code"] == "connection_lost"
    assert error["message"] == "the connection was lost during migration 0002_slow.sql"
    assert "applied before it in this run: 1" in error["cause"]
    assert [each["name"] for each in outcome.envelope["data"]["applied"]] == ["0001_a.sql"]
    wait_until(lambda: not is_sleeping(conninfo), "the server noticed")
    assert (recorded(conninfo), table_exists(conninfo, "half")) == (["0001_a.sql"], False)
