"""The disk space of deleted rows is freed."""

from __future__ import annotations

import json
from collections.abc import Callable

import psycopg
import pytest

from aperture_db.postgres.session import open_session
from aperture_db.purge import PurgeOptions, PurgeTarget
from aperture_db.purge.assessment import assess, read_sizes
from aperture_db.purge.deletion import SpaceReturn
from aperture_db.purge.scopes import scope_of
from aperture_db.purge.selection import select
from tests.cli import finish, start_cli
from tests.purge.purging import CONFIRMED, purge
from tests.waiting import wait_until


def size_of(database: str, what: str = "pg_database_size(current_database())") -> int:
    return value_of(database, f"SELECT {what}")


def value_of(database: str, query: str) -> int:
    with psycopg.connect(database) as conn:
        row = conn.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_of_whole_tables(
    large_plain_database: Callable[[], str], aperture_database: Callable[[], str]
) -> None:
    database = large_plain_database()
    before, empty = size_of(database), size_of(aperture_database())
    outcome = purge(database, "--what", "content", "--no-keep")["outcome"]
    after = size_of(database)
    assert (before - after) / (before - empty) > 0.9
    assert outcome["freed_bytes"] == outcome["size_before_bytes"] - outcome["size_after_bytes"]
    assert abs(outcome["size_after_bytes"] - after) < 100_000


def test_of_tables_that_are_shared(large_plain_database: Callable[[], str]) -> None:
    database = large_plain_database()
    table = "pg_total_relation_size('watch_history')"
    before = size_of(database, table)
    data = purge(database, "--what", "series")
    went = next(d for d in data["plan"]["deletions"] if d["table"] == "watch_history")
    assert went["way"] == "delete"
    assert data["outcome"]["not_shrunk"] == []
    share_left = 1 - went["rows"] / went["rows_before"]
    assert size_of(database, table) < before * (share_left + 0.1)


def test_a_transaction_elsewhere_is_let_end_before_tables_are_rewritten(
    large_plain_database: Callable[[], str], new_database: Callable[[], str]
) -> None:
    """VACUUM FULL keeps dead rows for whoever wrote before, in another database too."""
    database = large_plain_database()
    with psycopg.connect(new_database()) as writer:
        writer.execute("SELECT pg_current_xact_id()")
        process = start_cli("purge", "--what", "series", *CONFIRMED, "--json", conninfo=database)
        rows = "SELECT count(*) FROM series"
        wait_until(lambda: value_of(database, rows) == 0, "the purge is committed")
        writer.rollback()
    outcome = json.loads(finish(process).out)["data"]["outcome"]
    assert outcome["not_shrunk"] == []


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_space_that_an_old_transaction_keeps_is_not_called_given_back(
    where: str,
    large_plain_database: Callable[[], str],
    new_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aperture_db.purge.deletion.WAIT_SECONDS", 0.1)
    database = large_plain_database()
    with psycopg.connect(database if where == "here" else new_database()) as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT 1" if where == "here" else "SELECT pg_current_xact_id()")
        outcome = purge(database, "--what", "series")["outcome"]
    assert "watch_history" in outcome["not_shrunk"]


def test_a_table_that_another_session_uses_is_left_and_named(
    large_plain_database: Callable[[], str],
) -> None:
    database = large_plain_database()
    with (
        psycopg.connect(database) as other,
        open_session(database) as conn,
    ):
        other.execute("SELECT FROM watch_history LIMIT 1")
        with conn.transaction():
            selection = select(conn, scope_of(PurgeTarget.MOVIES, PurgeOptions()))
            assessment = assess(conn, selection, "postgres", read_sizes(conn, selection))
        space = SpaceReturn(assessment, "3")
        for _ in space.run(conn):
            pass
    assert space.not_shrunk == ["watch_history"]
