"""What the container does before its command runs."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from aperture_db.postgres.embedded import free_port
from tests.conftest import MIGRATION_NAMES
from tests.container.processes import read_line, run_entrypoint, start_entrypoint
from tests.migrate.conftest import recorded, table_exists
from tests.servers.clusters import create_cluster, superuser_conninfo
from tests.servers.programs import server_under_test
from tests.servers.starting import StartingServer
from tests.waiting import wait_until

NOWHERE = f"postgresql://aperture@127.0.0.1:{free_port()}/aperture"


def test_on_true_every_migration_is_applied_before_the_command_runs(
    new_database: Callable[[], str],
) -> None:
    conninfo = new_database()
    outcome = run_entrypoint(
        "migrate", "--check", conninfo=conninfo, RUN_MIGRATIONS_ON_START="true"
    )
    assert outcome.code == 0, outcome.err
    assert outcome.err.endswith("Database is up to date.\n")
    assert len(recorded(conninfo)) == len(MIGRATION_NAMES)


@pytest.mark.parametrize("value", [None, "", "false", "TRUE", "1", "yes", " true", '"true"'])
def test_on_anything_else_nothing_is_written(
    new_database: Callable[[], str], one_migration: dict[str, str], value: str | None
) -> None:
    conninfo = new_database()
    variables = {} if value is None else {"RUN_MIGRATIONS_ON_START": value}
    outcome = run_entrypoint("echo", "ran", conninfo=conninfo, **one_migration, **variables)
    assert (outcome.code, outcome.out) == (0, "ran\n")
    assert recorded(conninfo) == []
    is_a_mistake = value not in (None, "", "false")
    assert ("is not exactly `true`" in outcome.err) == is_a_mistake
    assert is_a_mistake or not outcome.err


def test_a_failing_migration_keeps_the_command_from_running(
    new_database: Callable[[], str], failing_migration: dict[str, str]
) -> None:
    conninfo = new_database()
    outcome = run_entrypoint(
        "echo", "ran", conninfo=conninfo, RUN_MIGRATIONS_ON_START="true", **failing_migration
    )
    assert outcome.code == 1
    assert "error: migration 0002_file.sql failed" in outcome.err
    assert "ran" not in outcome.out
    assert recorded(conninfo) == ["0001_file.sql"]


def test_a_refused_file_ends_with_the_code_of_migrate(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    (tmp_path / "0001_bad.sql").write_text("COMMIT;")
    outcome = run_entrypoint(
        "true",
        conninfo=new_database(),
        RUN_MIGRATIONS_ON_START="true",
        APERTURE_MIGRATIONS_DIR=str(tmp_path),
    )
    assert outcome.code == 2


def test_migrating_waits_for_a_server_that_comes_later(
    public_directory: Path, one_migration: dict[str, str]
) -> None:
    cluster, password = create_cluster(server_under_test(), public_directory)
    cluster = replace(cluster, port=free_port())
    process = start_entrypoint(
        "echo",
        "ran",
        conninfo=superuser_conninfo(cluster, password),
        RUN_MIGRATIONS_ON_START="true",
        **one_migration,
    )
    assert (
        "waiting up to 60 s for the database: connection refused: nothing listens on"
        in read_line(process)
    )
    cluster.start()
    try:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out.splitlines()[-1]) == (0, "ran"), err
        assert table_exists(superuser_conninfo(cluster, password), "things")
    finally:
        cluster.stop()


def test_without_migrating_it_waits_only_when_told_to(starting_server: StartingServer) -> None:
    process = start_entrypoint(
        "echo", "ran", conninfo=starting_server.conninfo, APERTURE_DB_WAIT="50s"
    )
    assert "waiting up to 50 s for the database: the server is not ready" in read_line(process)
    starting_server.finish()
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "ran\n")
    assert recorded(starting_server.conninfo) == []


def test_without_migrating_and_waiting_no_database_is_needed() -> None:
    outcome = run_entrypoint("echo", "ran", conninfo=NOWHERE)
    assert (outcome.code, outcome.out, outcome.err) == (0, "ran\n", "")
    assert run_entrypoint("echo", "ran").out == "ran\n"


def test_a_database_that_does_not_come_keeps_the_command_from_running() -> None:
    for variables in ({}, {"RUN_MIGRATIONS_ON_START": "true"}):
        outcome = run_entrypoint("echo", "ran", conninfo=NOWHERE, APERTURE_DB_WAIT="1", **variables)
        assert (outcome.code, outcome.out) == (3, "")
        assert "why:   connection refused: nothing listens on 127.0.0.1" in outcome.err


def test_a_wait_that_is_no_time_is_refused() -> None:
    outcome = run_entrypoint("echo", "ran", APERTURE_DB_WAIT="soon")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines()[:2] == [
        "error: APERTURE_DB_WAIT can't be used",
        "why:   'soon' is not a duration such as 500ms, 5s, 30m or 2h",
    ]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_wait(number: signal.Signals, code: int) -> None:
    process = start_entrypoint(
        "echo", "ran", conninfo=NOWHERE, RUN_MIGRATIONS_ON_START="true", APERTURE_DB_WAIT="10m"
    )
    assert "waiting up to 600 s" in read_line(process)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, "")
    assert err.splitlines()[-1] == "interrupted: nothing was changed"


def test_a_signal_rolls_the_running_migration_back(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    conninfo = new_database()
    (tmp_path / "0001_slow.sql").write_text("CREATE TABLE things (id int); SELECT pg_sleep(600);")
    process = start_entrypoint(
        "echo",
        "ran",
        conninfo=conninfo,
        RUN_MIGRATIONS_ON_START="true",
        APERTURE_MIGRATIONS_DIR=str(tmp_path),
    )
    with psycopg.connect(conninfo, autocommit=True) as conn:
        sleeping = (
            "SELECT FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event = 'PgSleep'"
        )
        wait_until(lambda: conn.execute(sleeping).rowcount == 1, "the migration runs")
        process.terminate()
        out, _ = process.communicate(timeout=30)
        assert (process.returncode, "ran" in out) == (143, False)
        wait_until(lambda: conn.execute(sleeping).rowcount == 0, "the server has stopped it")
    assert not table_exists(conninfo, "things")
