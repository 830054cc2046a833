"""What vacuum does to the tables of a database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from aperture_db.vacuum.report import MAINTAIN_VERSION
from tests.cli import Outcome
from tests.program import run_inside
from tests.servers.roles import Rights, drop_role, make_role
from tests.servers.standby import ReplicatedDatabase
from tests.vacuum.filling import delete_quarter, fill_movies


def results(outcome: Outcome) -> dict[str, dict[str, Any]]:
    return {result["name"]: result for result in outcome.envelope["data"]["results"]}


def dead_rows(conninfo: str, table: str) -> int:
    with psycopg.connect(conninfo) as conn:
        row = conn.execute("SELECT pg_stat_get_dead_tuples(%s::regclass)", [table]).fetchone()
    assert row is not None
    return int(row[0])


def count_tables(conninfo: str) -> int:
    with psycopg.connect(conninfo) as conn:
        row = conn.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert row is not None
    return int(row[0])


def test_every_table_is_vacuumed_and_analyzed(used_database: str) -> None:
    outcome = run_inside("vacuum", "--json", database=used_database)
    assert outcome.code == 0
    movies = results(outcome)["movies"]
    assert movies["before"]["dead_rows"] == 250
    assert movies["after"]["dead_rows"] == 0
    assert movies["before"]["total_bytes"] > 0
    with psycopg.connect(used_database) as conn:
        left_out = conn.execute(
            "SELECT relname FROM pg_stat_user_tables "
            "WHERE last_vacuum IS NULL OR last_analyze IS NULL"
        ).fetchall()
    assert left_out == []
    assert len(results(outcome)) == count_tables(used_database) >= 80


def test_only_the_named_tables(used_database: str) -> None:
    outcome = run_inside(
        "vacuum", "--json", "--table", "movies", "--table", "public.users", database=used_database
    )
    assert outcome.code == 0
    assert set(results(outcome)) == {"movies", "users"}


def test_an_unknown_table_is_a_usage_error_that_names_similar_ones(used_database: str) -> None:
    outcome = run_inside("vacuum", "--table", "movie", database=used_database)
    assert outcome.code == 2
    assert "similar names: movies" in outcome.err


def test_analyze_only_leaves_dead_rows(used_database: str) -> None:
    outcome = run_inside(
        "vacuum", "--analyze-only", "--table", "movies", "--json", database=used_database
    )
    assert outcome.code == 0
    assert results(outcome)["movies"]["after"]["dead_rows"] == 250
    with psycopg.connect(used_database) as conn:
        row = conn.execute(
            "SELECT reltuples FROM pg_class WHERE oid = 'movies'::regclass"
        ).fetchone()
    assert row == (750.0,)


def test_a_dry_run_shows_and_does_nothing(used_database: str) -> None:
    outcome = run_inside("vacuum", "--dry-run", "--table", "movies", database=used_database)
    assert outcome.code == 0
    assert "250  25.0 %" in outcome.out
    assert "vacuum, analyze" in outcome.out
    assert dead_rows(used_database, "movies") == 250


@pytest.mark.parametrize("number", ["0001", "0023", "0077"])
def test_databases_at_older_migrations(database_at: Callable[[str], str], number: str) -> None:
    outcome = run_inside("vacuum", "--reindex-hnsw", "--json", database=database_at(number))
    assert outcome.code == 0
    assert {result["outcome"] for result in results(outcome).values()} == {"done"}


def test_an_empty_database(new_database: Callable[[], str]) -> None:
    outcome = run_inside("vacuum", database=new_database())
    assert outcome.code == 0
    assert "0 tables" in outcome.out


def test_quiet_says_nothing_where_all_went_well(used_database: str) -> None:
    outcome = run_inside("vacuum", "-q", database=used_database)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_full_gives_space_back(used_database: str) -> None:
    outcome = run_inside(
        "vacuum", "--full", "--table", "movies", "--confirm", "yes I am sure", "--json",
        database=used_database,
    )  # fmt: skip
    assert outcome.code == 0
    movies = results(outcome)["movies"]
    # Its dead rows may stay: for VACUUM FULL, transactions of other tests' databases count too.
    assert movies["after"]["total_bytes"] < movies["before"]["total_bytes"]


@pytest.mark.parametrize("confirmation", [[], ["--confirm", "yes i am sure"]])
def test_full_without_confirmation_changes_nothing(
    used_database: str, confirmation: list[str]
) -> None:
    outcome = run_inside("vacuum", "--full", *confirmation, database=used_database)
    assert outcome.code == 4
    assert "nothing was changed" in outcome.err
    assert dead_rows(used_database, "movies") == 250


def test_ways_that_exclude_each_other(used_database: str) -> None:
    outcome = run_inside("vacuum", "--full", "--reindex-hnsw", database=used_database)
    assert outcome.code == 2
    assert "can't be combined" in outcome.err


def test_a_table_of_another_owner_is_named(
    used_database: str, limited_role: Callable[[str, Rights], str]
) -> None:
    owner = limited_role(used_database, "owner")
    with psycopg.connect(used_database, autocommit=True) as conn:
        stranger = conninfo_to_dict(limited_role(used_database, "none"))["user"]
        conn.execute(f"ALTER TABLE movies OWNER TO {stranger}")
        conn.execute(f"ALTER DATABASE {conn.info.dbname} OWNER TO postgres")
    shown = run_inside("vacuum", "--dry-run", "--table", "movies", database=owner)
    assert f"would be skipped: it belongs to {stranger}" in shown.out
    outcome = run_inside("vacuum", "--json", database=owner)
    assert outcome.code == 1
    assert results(outcome)["movies"]["outcome"] == "skipped"
    assert results(outcome)["users"]["outcome"] == "done"
    assert outcome.envelope["error"]["code"] == "tables_skipped"
    assert "movies" in outcome.envelope["error"]["message"]
    advice = outcome.envelope["error"]["next"]
    with psycopg.connect(used_database, autocommit=True) as conn:
        if conn.info.server_version < MAINTAIN_VERSION:
            assert advice == f"connect as {stranger}, the owner of the database, or a superuser"
            owner = used_database
        else:
            grant = advice.split("run: ")[1]
            assert grant.startswith('GRANT MAINTAIN ON TABLE "public"."movies" TO ')
            conn.execute(grant)
    assert run_inside("vacuum", database=owner).code == 0


def test_a_role_that_only_reads_can_do_nothing_and_is_told(
    used_database: str, limited_role: Callable[[str, Rights], str]
) -> None:
    reader = limited_role(used_database, "read")
    outcome = run_inside("vacuum", "--json", database=reader)
    assert outcome.code == 1
    assert {result["outcome"] for result in results(outcome).values()} == {"skipped"}
    with psycopg.connect(reader) as conn:
        may_be_granted = conn.info.server_version >= MAINTAIN_VERSION
    advice = outcome.envelope["error"]["next"]
    assert advice.endswith("more of the kind" if may_be_granted else "or a superuser")
    shown = run_inside("vacuum", "--dry-run", database=reader)
    assert shown.code == 0


def test_a_standby_can_only_be_looked_at(
    replicated_database: Callable[[], ReplicatedDatabase],
) -> None:
    database = replicated_database()
    with psycopg.connect(database.primary, autocommit=True) as conn:
        conn.execute("CREATE TABLE movies AS SELECT 1 AS id")
    database.wait_until_replayed()
    assert run_inside("vacuum", "--dry-run", database=database.standby).code == 0
    outcome = run_inside("vacuum", database=database.standby)
    assert outcome.code == 1
    assert "connect to the primary server" in outcome.err


def test_through_a_pooler(used_database: str, pgbouncer_conninfo: Callable[[str], str]) -> None:
    pooled = pgbouncer_conninfo(used_database)
    outcome = run_inside("vacuum", "--json", database=pooled)
    assert outcome.code == 0
    assert results(outcome)["movies"]["after"]["dead_rows"] == 0


def test_postgresql_15(postgres15: str) -> None:
    """The oldest server at hand: other words, no counts of indexes, no MAINTAIN."""
    with psycopg.connect(postgres15, autocommit=True) as conn:
        conn.execute("CREATE DATABASE vacuum_old")
    database = psycopg.conninfo.make_conninfo(postgres15, dbname="vacuum_old")
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE TABLE movies (provider_item_id text PRIMARY KEY, title text)")
        fill_movies(conn, 400)
        delete_quarter(conn, 0)
    writer = make_role(database, "write")
    try:
        refused = run_inside("vacuum", "--json", database=writer)
        assert refused.code == 1
        assert "connect as postgres" in refused.envelope["error"]["next"]
    finally:
        drop_role(database, writer)
    outcome = run_inside("vacuum", "--json", database=database)
    assert outcome.code == 0
    assert results(outcome)["movies"]["after"]["dead_rows"] == 0
