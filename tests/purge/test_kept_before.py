"""A purge and what earlier ones kept: the plan says what becomes of it."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from tests.program import run_inside
from tests.purge.purging import plan_of, purge, try_purge
from tests.servers.roles import Rights

WAITING = "SELECT count(*) FROM aperture_db.kept_rows WHERE done_at IS NULL AND source = %s"


def waiting(database: str, source: str = "user_ratings") -> int:
    with psycopg.connect(database) as conn:
        row = conn.execute(WAITING, [source]).fetchone()
    assert row is not None
    return int(row[0])


def execute(database: str, *statements: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())


def test_a_purge_of_ratings_names_and_drops_those_that_wait(
    sample_database: Callable[[], str],
) -> None:
    database = sample_database()
    purge(database, "--what", "content")
    kept = waiting(database)
    assert kept > 0
    execute(database, "UPDATE user_taste_profiles SET auto_updated_at = NULL")
    plan = plan_of(database, "--what", "ratings")
    assert (plan["rows"], plan["dropped_kept_rows"]) == (0, kept)
    assert {"what": "rows kept for relink", "rows": kept} in [
        {"what": loss["what"], "rows": loss["rows"]} for loss in plan["losses"]
    ]
    purge(database, "--what", "ratings")
    assert waiting(database) == 0
    assert plan_of(database, "--what", "ratings")["dropped_kept_rows"] == 0


def test_no_keep_says_that_rows_kept_earlier_come_back(
    sample_database: Callable[[], str],
) -> None:
    database = sample_database()
    purge(database, "--what", "movies")
    plan = plan_of(database, "--what", "series", "--no-keep")
    assert [w["text"] for w in plan["warnings"] if w["code"] == "kept_before"]


def test_history_that_no_sync_fetches_is_a_loss(sample_database: Callable[[], str]) -> None:
    database = sample_database()
    execute(
        database,
        "UPDATE users SET provider_disabled = true WHERE id = "
        "(SELECT user_id FROM watch_history GROUP BY 1 LIMIT 1)",
    )
    with psycopg.connect(database) as conn:
        row = conn.execute(
            "SELECT count(*) FROM watch_history WHERE user_id IN "
            "(SELECT id FROM users WHERE provider_disabled)"
        ).fetchone()
    assert row is not None
    for words in (("watch-history",), ("content", "--no-keep")):
        losses = plan_of(database, "--what", *words)["losses"]
        found = [loss["rows"] for loss in losses if loss["what"] == "watch history rows"]
        assert found, words
        assert found[0] >= row[0]


def test_ratings_without_a_foreign_key_are_kept_or_named(
    sample_database: Callable[[], str],
) -> None:
    database = sample_database()
    execute(database, "ALTER TABLE user_ratings DROP CONSTRAINT user_ratings_movie_id_fkey")
    with psycopg.connect(database) as conn:
        row = conn.execute("SELECT count(*) FROM user_ratings").fetchone()
    assert row is not None
    plan = plan_of(database, "--what", "content")
    assert plan["user_data"]["rows"]["user_ratings"] == row[0]
    assert "manual ratings" not in [loss["what"] for loss in plan["losses"]]
    plan = plan_of(database, "--what", "content", "--no-keep")
    assert "manual ratings" in [loss["what"] for loss in plan["losses"]]


def test_a_dry_run_says_what_the_run_would_refuse(sample_database: Callable[[], str]) -> None:
    database = sample_database()
    purge(database, "--what", "movies")
    dry = run_inside("purge", "--what", "everything", "--dry-run", database=database)
    assert dry.code == 0
    assert "wait to be put back" in dry.err
    assert "wait to be put back" in try_purge(database, "--what", "everything").err


def test_dropping_what_was_kept_needs_its_privilege_before_anything(
    sample_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    database = sample_database()
    purge(database, "--what", "movies")
    role = limited_role(database, "write")
    plan = plan_of(role, "--what", "ratings")
    assert any("aperture_db" in each["grant"] for each in plan["missing_privileges"])
