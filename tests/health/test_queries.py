"""Slow statements, and indexes that are missing, broken or there twice."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from aperture_db.health.checks import queries
from tests.health.conftest import follow_advice, read_check, read_health
from tests.health.test_sessions import idle_session
from tests.servers.clusters import start_server
from tests.servers.programs import server_under_test
from tests.servers.roles import Rights, drop_role, make_role
from tests.servers.shared import SharedServers
from tests.waiting import wait_until


def execute(conninfo: str, *statements: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())


def test_slow_statements_are_named_without_their_values(migrated: str) -> None:
    assert read_check(migrated, "slow-statements")["advice"] == [
        "CREATE EXTENSION IF NOT EXISTS pg_stat_statements;"
    ]
    follow_advice(migrated, read_check(migrated, "slow-statements"))
    before = read_health(migrated)
    assert before["slow-statements"]["status"] == "ok"
    for number in range(3):
        execute(migrated, f"SELECT pg_sleep(0.02), 'secret {number}' FROM generate_series(1, 1)")
    execute(migrated, *["CREATE ROLE ghost PASSWORD 'utility-secret'", "DROP ROLE ghost"] * 3)
    limits = ("--warn", "slow-statements=20ms")
    reading = read_health(migrated, *limits)
    assert reading.changed_since(before) == {"slow-statements"}
    check = reading["slow-statements"]
    assert (
        "on average of 3: SELECT pg_sleep($1), $2 FROM generate_series($3, $4)" in check["reason"]
    )
    assert "secret" not in str(check)
    assert check["advice"][0].startswith("EXPLAIN (GENERIC_PLAN) SELECT pg_sleep($1)")
    follow_advice(migrated, {"advice": check["advice"][1:]})
    assert read_health(migrated, *limits).changed_since(before) == set()


def test_a_statement_with_a_comment_is_not_to_be_pasted(migrated: str) -> None:
    execute(
        migrated,
        "CREATE EXTENSION pg_stat_statements",
        *["SELECT pg_sleep(0.02) -- a comment\n, 1"] * 3,
    )
    check = read_check(migrated, "slow-statements", "--warn", "slow-statements=20ms")
    assert check["status"] == "warning"
    assert not any(step.startswith("EXPLAIN") for step in check["advice"])


def test_the_extension_may_be_in_a_schema_of_its_own(migrated: str) -> None:
    execute(
        migrated,
        'CREATE SCHEMA "Own"',
        'CREATE EXTENSION pg_stat_statements SCHEMA "Own"',
        *["SELECT pg_sleep(0.02)"] * 3,
    )
    limits = ("--warn", "slow-statements=20ms")
    check = read_check(migrated, "slow-statements", *limits)
    assert check["status"] == "warning"
    follow_advice(migrated, {"advice": check["advice"][-1:]})
    assert read_check(migrated, "slow-statements", *limits)["status"] == "ok"


def test_an_extension_without_its_library_measures_nothing(standby_conninfo: str) -> None:
    """That server does not load it."""
    check = read_check(standby_conninfo, "slow-statements")
    assert check["status"] == "info"
    assert check["advice"] == [
        "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements';",
        "restart the server, which makes shared_preload_libraries take effect",
        "CREATE EXTENSION IF NOT EXISTS pg_stat_statements;",
    ]


def test_loading_the_library_keeps_those_that_are_loaded(servers: SharedServers) -> None:
    """Only roles that may read the setting can be told the whole of its new value."""
    loaded = {"shared_preload_libraries": "auto_explain, passwordcheck"}
    made = servers.get("preloading", lambda home: start_server(server_under_test(), home, loaded))
    server = made["conninfo"]
    statement = read_check(server, "slow-statements")["advice"][0]
    assert statement == (
        "ALTER SYSTEM SET shared_preload_libraries = "
        "'auto_explain', 'passwordcheck', 'pg_stat_statements';"
    )
    execute(server, statement)
    reader = make_role(server, "none")
    try:
        assert read_check(reader, "slow-statements")["advice"][0] == (
            "add pg_stat_statements to shared_preload_libraries in postgresql.conf, "
            "and restart the server"
        )
    finally:
        drop_role(server, reader)


def test_an_index_of_a_cancelled_build_is_found(migrated: str) -> None:
    before = read_health(migrated)
    with idle_session(migrated, "LOCK TABLE movies IN ROW EXCLUSIVE MODE"):
        builder = psycopg.connect(migrated, autocommit=True)
        building = threading.Thread(target=_build_and_be_cancelled, args=[builder])
        building.start()
        with psycopg.connect(migrated, autocommit=True) as conn:
            made = "SELECT to_regclass('half_made') IS NOT NULL"
            wait_until(lambda: conn.execute(made).fetchone() == (True,), "the index is begun")
            assert read_check(migrated, "invalid-indexes")["status"] == "ok"
        builder.cancel_safe()
        building.join()
        builder.close()
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"invalid-indexes"}
    check = reading["invalid-indexes"]
    assert "half_made on movies is invalid" in check["reason"]
    assert check["advice"] == ["REINDEX INDEX CONCURRENTLY half_made;"]
    follow_advice(migrated, check)
    assert read_health(migrated).changed_since(before) == set()


def _build_and_be_cancelled(conn: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.QueryCanceled):
        conn.execute("CREATE INDEX CONCURRENTLY half_made ON movies (runtime_minutes)")


def test_a_copy_that_reindex_left_is_to_be_dropped(migrated: str) -> None:
    execute(
        migrated,
        "CREATE INDEX idx_movies_year_ccnew ON movies (year)",
        "UPDATE pg_index SET indisvalid = false "
        "WHERE indexrelid = 'idx_movies_year_ccnew'::regclass",
    )
    check = read_check(migrated, "invalid-indexes")
    assert check["advice"] == ["DROP INDEX CONCURRENTLY idx_movies_year_ccnew;"]
    follow_advice(migrated, check)
    assert read_check(migrated, "invalid-indexes")["status"] == "ok"


LARGE_TABLE = (
    "CREATE TABLE notes (id int, movie_id uuid REFERENCES movies (id) ON DELETE CASCADE)",
    "INSERT INTO notes (id) SELECT generate_series(1, 10000)",
)


@pytest.mark.parametrize("analyze", [True, False])
def test_a_foreign_key_without_an_index_on_a_large_table(migrated: str, analyze: bool) -> None:
    before = read_health(migrated)
    execute(migrated, *LARGE_TABLE, *["ANALYZE notes"] * analyze)
    reading = read_health(migrated)
    unknown = set() if analyze else {"never-analyzed"}
    assert reading.changed_since(before) == {"foreign-key-indexes", *unknown}
    check = reading["foreign-key-indexes"]
    assert check["status"] == "warning"
    assert check["advice"] == ['CREATE INDEX CONCURRENTLY ON "public"."notes" ("movie_id");']
    assert [finding["object"] for finding in check["findings"]] == ["notes.notes_movie_id_fkey"]
    follow_advice(migrated, check)
    follow_advice(migrated, reading["never-analyzed"])
    assert read_health(migrated).changed_since(before) == set()


def test_aperture_s_own_missing_indexes_are_for_its_developers(library: str) -> None:
    execute(library, "ANALYZE")
    check = read_check(library, "foreign-key-indexes", "--warn", "foreign-key-indexes=1")
    assert check["status"] == "info"
    objects = {finding["object"] for finding in check["findings"]}
    assert "recommendation_evidence.recommendation_evidence_similar_movie_id_fkey" in objects
    assert check["advice"][0].startswith("report it to the developers of Aperture")


def test_an_own_duplicate_index_can_go(migrated: str) -> None:
    before = read_health(migrated)
    execute(migrated, "CREATE INDEX one_more ON movies (tmdb_id)")
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"duplicate-indexes"}
    check = reading["duplicate-indexes"]
    assert "one_more on movies is a duplicate of idx_movies_tmdb_id" in check["reason"]
    follow_advice(migrated, check)
    assert read_health(migrated).changed_since(before) == set()


def test_a_duplicate_index_of_a_constraint_goes_with_it(migrated: str) -> None:
    execute(
        migrated,
        "CREATE TABLE notes (id int UNIQUE)",
        'ALTER TABLE notes ADD CONSTRAINT "once more" UNIQUE (id)',
    )
    check = read_check(migrated, "duplicate-indexes")
    assert check["advice"][0] == 'ALTER TABLE notes DROP CONSTRAINT "once more";'
    follow_advice(migrated, check)
    assert read_check(migrated, "duplicate-indexes")["status"] == "info"


def test_large_tables_read_from_end_to_end(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MIN_DAILY_SCANS", 200)
    before = read_health(migrated)
    execute(
        migrated,
        *LARGE_TABLE,
        "CREATE INDEX ON notes (movie_id)",
        "ANALYZE notes",
        "DO $$ BEGIN FOR i IN 1..300 LOOP PERFORM count(*) FROM notes; END LOOP; END $$",
    )
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"sequential-scans"}
    reason = reading["sequential-scans"]["reason"]
    assert "notes with 10,000 rows had 30" in reason
    assert "CREATE INDEX CONCURRENTLY" in reading["sequential-scans"]["advice"][0]
    execute(migrated, "UPDATE aperture_migrations SET applied_at = applied_at - interval '2 days'")
    assert read_check(migrated, "sequential-scans")["status"] == "ok"


def test_the_cache_hit_ratio_is_judged_once_enough_was_read(migrated: str) -> None:
    assert read_check(migrated, "cache-hit-ratio")["status"] == "ok"
    execute(
        migrated,
        "CREATE TABLE pages (filler text)",
        "ALTER TABLE pages ALTER filler SET STORAGE PLAIN",
        "INSERT INTO pages SELECT repeat('x', 8000) FROM generate_series(1, 12000)",
    )
    check = read_check(migrated, "cache-hit-ratio", "--warn", "cache-hit-ratio=100%")
    assert check["status"] == "warning"
    assert check["advice"][0] == "ALTER SYSTEM SET shared_buffers = '512MB';"


def test_a_large_table_that_was_never_analyzed(
    migrated: str, role_of: Callable[[str, Rights], str]
) -> None:
    execute(migrated, 'CREATE TABLE "of mine" AS SELECT i FROM generate_series(1, 9999) AS i')
    before = read_health(migrated)
    assert (before["never-analyzed"]["status"], before["never-analyzed"]["value"]) == ("ok", 9999)
    execute(migrated, 'INSERT INTO "of mine" VALUES (0)')
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"never-analyzed"}
    check = reading["never-analyzed"]
    assert check["status"] == "warning"
    assert check["reason"] == "of mine with 10,000 rows or more was never analyzed"
    critical = read_check(migrated, "never-analyzed", "--crit", "never-analyzed=10000")
    assert critical["status"] == "critical"
    role = role_of(migrated, "read")
    assert read_check(role, "never-analyzed")["status"] == "warning"
    execute(migrated, f'REVOKE SELECT ON "of mine" FROM {conninfo_to_dict(role)["user"]}')
    hidden = read_check(role, "never-analyzed")
    assert (hidden["status"], hidden["skipped_because"]) == ("skipped", "privilege")
    follow_advice(migrated, hidden)
    assert read_check(role, "never-analyzed")["status"] == "warning"
    follow_advice(migrated, check)
    assert read_health(migrated).changed_since(before) == set()
    assert read_check(role, "never-analyzed")["summary"] == "none"
