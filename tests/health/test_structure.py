"""The structure of the database against the one that Aperture's migrations make."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from aperture_db.aperture.kinds import DUPLICATE_INDEXES
from tests.conftest import apply_migrations
from tests.health.conftest import follow_advice, read_check, read_health
from tests.health.test_queries import execute
from tests.migrations.structure import differences, final_structure, read_structure


def test_a_column_that_an_early_migration_left_out(migrated: str) -> None:
    before = read_health(migrated)
    execute(migrated, "ALTER TABLE user_taste_profiles DROP min_franchise_size")
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"schema-drift"}
    assert reading["schema-drift"]["status"] == "warning"
    follow_advice(migrated, reading["schema-drift"])
    assert read_health(migrated).changed_since(before) == set()


def test_a_missing_table_is_critical(migrated: str) -> None:
    execute(migrated, "DROP TABLE sessions, job_runs, movies CASCADE")
    check = read_check(migrated, "schema-drift")
    assert check["status"] == "critical"
    # What belonged to them or referred to them is not listed beside them.
    assert {finding["object"] for finding in check["findings"]} == {
        "sessions",
        "job_runs",
        "movies",
    }
    assert "the table movies is missing" in [finding["reason"] for finding in check["findings"]]


@pytest.mark.parametrize("name", ["job_runs", "library_config", "user_ratings"])
def test_a_missing_table_makes_no_check_ok(migrated: str, name: str) -> None:
    execute(migrated, f"DROP TABLE {name} CASCADE")
    reading = read_health(migrated)
    assert not [
        check["id"]
        for check in reading.checks.values()
        if check["status"] == "ok" and "not in this version" in str(check)
    ]


def test_every_object_that_can_be_dropped_is_made_again_by_the_advice(migrated: str) -> None:
    with psycopg.connect(migrated, autocommit=True) as conn:
        before = read_structure(conn)
        dropped = drop_parts(conn)
        lacking = read_structure(conn)
    assert len(differences(before, lacking)) >= len(dropped) > 450
    check = read_check(migrated, "schema-drift")
    assert {finding["object"] for finding in check["findings"]} == dropped - DUPLICATE_INDEXES
    assert {finding["status"] for finding in check["findings"]} == {"info", "warning"}
    follow_advice(migrated, check)
    assert read_check(migrated, "schema-drift")["status"] == "ok"
    with psycopg.connect(migrated) as conn:
        left = differences(before, read_structure(conn))
    assert [line for line in left if not any(name in line for name in DUPLICATE_INDEXES)] == []


def drop_parts(conn: psycopg.Connection[tuple[object, ...]]) -> set[str]:
    """Drop all constraints, indexes and triggers of Aperture; returns their names."""
    expected = final_structure()
    dropped: set[str] = set()
    for kind, what in (("constraints", "CONSTRAINT"), ("triggers", "TRIGGER")):
        for name in expected[kind]:
            table, part = name.split(".")
            if table == "aperture_migrations":
                continue
            on = sql.SQL("ALTER TABLE {table} DROP CONSTRAINT {part} CASCADE")
            if what == "TRIGGER":
                on = sql.SQL("DROP TRIGGER {part} ON {table}")
            names = {"table": sql.Identifier(table), "part": sql.Identifier(part)}
            exists = "SELECT FROM pg_constraint WHERE conname = %s AND conrelid = %s::regclass"
            # CASCADE takes the foreign keys along.
            if what == "TRIGGER" or conn.execute(exists, [part, table]).fetchone() is not None:
                conn.execute(on.format(**names))
            dropped.add(name)
    for name in expected["indexes"]:
        conn.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        dropped.add(name)
    return dropped


def test_another_name_or_more_than_expected_is_no_difference(migrated: str) -> None:
    execute(
        migrated,
        "ALTER TABLE user_ratings RENAME CONSTRAINT user_ratings_movie_id_fkey TO to_movies",
        "ALTER INDEX idx_movies_title RENAME TO titles",
        "CREATE INDEX more ON movies (title, year)",
        "ALTER TABLE movies ADD note text",
        "CREATE TABLE extra (id int)",
        "DROP TABLE embeddings_legacy, series_embeddings_legacy, episode_embeddings_legacy",
    )
    assert read_check(migrated, "schema-drift")["status"] == "ok"


def test_a_column_of_another_type(migrated: str) -> None:
    execute(migrated, "ALTER TABLE movies ALTER runtime_minutes TYPE bigint")
    check = read_check(migrated, "schema-drift")
    assert check["reason"] == "movies.runtime_minutes has the type bigint instead of integer"
    follow_advice(migrated, check)
    assert read_check(migrated, "schema-drift")["status"] == "ok"


def test_extensions_and_aperture_in_schemas_of_their_own(new_database: Callable[[], str]) -> None:
    database = new_database()
    execute(
        database,
        'CREATE SCHEMA "Odd.name"', "CREATE SCHEMA extensions",
        "CREATE EXTENSION vector SCHEMA extensions",
        "CREATE EXTENSION pg_trgm SCHEMA extensions",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = "
        "\"Odd.name\", extensions', current_database()); END $$",
    )  # fmt: skip
    apply_migrations(database)
    # One of them looks for what it renames in the schema public only.
    check = read_check(database, "schema-drift")
    assert {finding["object"] for finding in check["findings"]} == {
        "users.seerr_user_id", "idx_users_seerr_user_id_unique",
    }  # fmt: skip
    execute(database, "DROP INDEX idx_embeddings_768_hnsw", "ALTER TABLE users DROP is_admin")
    check = read_check(database, "schema-drift")
    assert len(check["findings"]) == 4
    follow_advice(database, check)
    assert read_check(database, "schema-drift")["status"] == "ok"


def test_nothing_is_said_of_a_newer_apertures_structure(migrated: str) -> None:
    execute(
        migrated,
        "INSERT INTO aperture_migrations (name) VALUES ('0115_future.sql')",
        "ALTER TABLE movies RENAME COLUMN year TO release_year",
    )
    check = read_check(migrated, "schema-drift")
    assert (check["status"], check["summary"]) == ("ok", "not known: a newer Aperture's migrations")
