"""Tables without changes are skipped, and several tables are vacuumed at a time."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from aperture_db.postgres.connection import connect
from aperture_db.postgres.settings import resolve_target
from aperture_db.vacuum import TableFinished, VacuumMode, plan, run, vacuum_tables
from tests.cli import finish, start_cli
from tests.program import run_inside
from tests.servers.roles import Rights
from tests.vacuum.filling import delete_quarter, settle, slowed
from tests.vacuum.test_vacuum import count_tables, results
from tests.waiting import FLUSH_STATISTICS, wait_until

VACUUMED = (
    "SELECT count(DISTINCT relid) FROM pg_stat_progress_vacuum "
    "WHERE datname = current_database() AND relid = ANY (ARRAY['movies', 'users']::regclass[])"
)
FILL_USERS = (
    "INSERT INTO users (username, provider_user_id, provider) "
    "SELECT 'u' || i, i::text, 'emby' FROM generate_series(1, 3000) AS i"
)


def up_to_date(conninfo: str, *arguments: str) -> int:
    outcome = run_inside("vacuum", "--json", *arguments, database=conninfo)
    assert outcome.code == 0, outcome.err
    return int(outcome.envelope["data"]["up_to_date_tables"])


def test_tables_without_changes_are_skipped_and_counted(used_database: str) -> None:
    assert up_to_date(used_database) == 0
    again = run_inside("vacuum", "--json", database=used_database)
    assert results(again) == {}
    assert again.envelope["data"]["up_to_date_tables"] == count_tables(used_database)
    with psycopg.connect(used_database, autocommit=True) as conn:
        conn.execute("UPDATE movies SET title = 'x' WHERE provider_item_id = '1'")
        conn.execute(FLUSH_STATISTICS)
    changed = run_inside("vacuum", "--json", database=used_database)
    assert set(results(changed)) == {"movies"}
    everything = run_inside("vacuum", "--all", "--json", database=used_database)
    assert len(results(everything)) == count_tables(used_database)


def test_a_named_table_is_vacuumed_whether_it_changed_or_not(used_database: str) -> None:
    assert up_to_date(used_database) == 0
    named = run_inside("vacuum", "--table", "users", "--json", database=used_database)
    assert set(results(named)) == {"users"}


def test_rows_that_were_only_inserted_are_work_for_vacuum_and_analyze(used_database: str) -> None:
    assert up_to_date(used_database) == 0
    with psycopg.connect(used_database, autocommit=True) as conn:
        conn.execute(FILL_USERS)
        conn.execute(FLUSH_STATISTICS)
    analyzed = run_inside("vacuum", "--analyze-only", "--json", database=used_database)
    assert set(results(analyzed)) == {"users"}
    assert up_to_date(used_database, "--analyze-only") == count_tables(used_database)
    assert up_to_date(used_database) == count_tables(used_database) - 1


def test_a_dry_run_lists_work_only(used_database: str) -> None:
    assert up_to_date(used_database) == 0
    with psycopg.connect(used_database, autocommit=True) as conn:
        delete_quarter(conn, 1)
    outcome = run_inside("vacuum", "--dry-run", database=used_database)
    assert [line.split()[0] for line in outcome.out.splitlines()[:2]] == ["table", "movies"]
    unchanged = count_tables(used_database) - 1
    assert f"{unchanged} tables have not changed since the last run" in outcome.out
    assert up_to_date(used_database, "--dry-run", "--all") == 0


def test_rows_that_are_due_to_be_frozen_are_work(used_database: str) -> None:
    assert up_to_date(used_database) == 0
    with psycopg.connect(used_database, autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET vacuum_freeze_table_age = 0")
        conn.execute("SELECT pg_current_xact_id()")
    assert up_to_date(used_database, "--dry-run") == 0


def test_full_rewrites_unchanged_tables_too(used_database: str) -> None:
    assert up_to_date(used_database) == 0
    with connect(resolve_target(used_database, None, {})) as conn:
        assert len(plan(conn, VacuumMode.FULL).tables) == count_tables(used_database)


def test_with_several_jobs_hnsw_tables_come_first(embedded_database: str) -> None:
    with connect(resolve_target(embedded_database, None, {})) as conn:
        tables = plan(conn, VacuumMode.VACUUM, jobs=2).tables
    have_hnsw = [any(index.is_hnsw for index in table.indexes) for table in tables]
    assert have_hnsw == sorted(have_hnsw, reverse=True)
    assert tables[0].name == "embeddings_256"


@pytest.fixture
def two_tables(used_database: str) -> str:
    """Films and users, each with rows enough for a slow VACUUM of some seconds."""
    with psycopg.connect(used_database, autocommit=True) as conn:
        conn.execute(FILL_USERS)
        settle(conn, "users")
        conn.execute("DELETE FROM users WHERE provider_user_id::int % 4 = 0")
        conn.execute(FLUSH_STATISTICS)
    return used_database


def test_two_jobs_vacuum_two_tables_at_a_time(two_tables: str) -> None:
    process = start_cli(
        "vacuum", "--jobs", "2", "--table", "movies", "--table", "users", "--json",
        conninfo=slowed(two_tables),
    )  # fmt: skip
    with psycopg.connect(two_tables, autocommit=True) as conn:
        wait_until(lambda: conn.execute(VACUUMED).fetchone() == (2,), "both are being vacuumed")
    outcome = finish(process)
    assert outcome.code == 0, outcome.err
    after = {name: result["after"]["dead_rows"] for name, result in results(outcome).items()}
    assert after == {"movies": 0, "users": 0}


def test_an_interruption_stops_all_jobs(two_tables: str) -> None:
    process = start_cli(
        "vacuum", "--jobs", "2", "--table", "movies", "--table", "users",
        conninfo=slowed(two_tables),
    )  # fmt: skip
    with psycopg.connect(two_tables, autocommit=True) as conn:
        wait_until(lambda: conn.execute(VACUUMED).fetchone() == (2,), "both are being vacuumed")
        process.send_signal(signal.SIGTERM)
        outcome = finish(process)
        assert conn.execute(VACUUMED).fetchone() == (0,)
    assert outcome.code == 143
    assert "0 of 2 tables done; stopped at" in outcome.err
    assert "which have to be done again" in outcome.err


def test_jobs_rebuild_indexes_too(embedded_database: str) -> None:
    outcome = run_inside(
        "vacuum", "--reindex-hnsw", "--jobs", "3", "--json", database=embedded_database
    )
    assert outcome.code == 0, outcome.err
    assert results(outcome)["embeddings_256"]["rebuilt_indexes"] == ["idx_embeddings_256_hnsw"]
    assert len(results(outcome)) == count_tables(embedded_database)


def test_fewer_connections_than_jobs_are_enough(
    used_database: str, limited_role: Callable[[str, Rights], str]
) -> None:
    owner = limited_role(used_database, "owner")
    with psycopg.connect(used_database, autocommit=True) as conn:
        role = psycopg.conninfo.conninfo_to_dict(owner)["user"]
        conn.execute(f"ALTER ROLE {role} CONNECTION LIMIT 1")
    outcome = run_inside(
        "vacuum", "--jobs", "4", "--table", "movies", "--table", "users", "--json", database=owner
    )
    assert outcome.code == 0, outcome.err
    assert "only 1 connection for jobs" in outcome.err
    assert set(results(outcome)) == {"movies", "users"}


class CountingCursor(psycopg.Cursor[Any]):
    """Counts what is executed."""

    count = 0

    def execute(self, *args: Any, **kwargs: Any) -> CountingCursor:
        type(self).count += 1
        super().execute(*args, **kwargs)
        return self


def test_a_table_costs_one_statement_beside_its_vacuum(used_database: str) -> None:
    target = resolve_target(used_database, None, {})
    with connect(target) as conn:
        planned = plan(conn, VacuumMode.VACUUM)
        conn.cursor_factory = CountingCursor
        CountingCursor.count = 0
        finished = [
            event
            for event in vacuum_tables(conn, target, planned, 5)
            if isinstance(event, TableFinished)
        ]
    assert len(finished) == count_tables(used_database)
    kept = sum(bool(event.result.after.dead_rows) for event in finished)
    # The server's clock once; the holders of old snapshots where dead rows remain.
    assert CountingCursor.count <= 2 * len(finished) + 1 + kept


def test_a_refused_table_is_not_waited_for(
    used_database: str, limited_role: Callable[[str, Rights], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before PostgreSQL 15 statistics come late, and those of refused work never come."""
    monkeypatch.setattr(run, "PROMPT_STATISTICS_VERSION", 999_999)
    monkeypatch.setattr(run, "LATE_STATISTICS_SECONDS", 60.0)
    target = resolve_target(limited_role(used_database, "read"), None, {})
    with connect(target) as conn:
        planned = plan(conn, VacuumMode.VACUUM, ["movies"])
        (_, finished) = vacuum_tables(conn, target, planned, 5)
    assert isinstance(finished, TableFinished)
    assert finished.result.outcome.value == "skipped"
    assert finished.result.duration_seconds < 30


def test_late_statistics_are_waited_for(
    embedded_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "PROMPT_STATISTICS_VERSION", 999_999)
    target = resolve_target(embedded_database, None, {})
    with connect(target) as conn:
        planned = plan(conn, VacuumMode.VACUUM, ["embeddings_256"])
        finished = list(vacuum_tables(conn, target, planned, 5))[-1]
    assert isinstance(finished, TableFinished)
    assert finished.result.after.dead_rows == 0
