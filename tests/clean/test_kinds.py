"""Each kind takes what it says, and nothing else in the whole database."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest

from aperture_db.clean import DeleteStrategy, Kind, collect
from aperture_db.clean.apply import apply as delete_rows
from aperture_db.errors import ApertureDbError
from aperture_db.postgres.connection import connect
from aperture_db.postgres.settings import resolve_target
from tests.clean.conftest import (
    apply,
    execute,
    gone,
    listed,
    read_contents,
    rows_of,
)

NewDatabase = Callable[[], str]
GONE = uuid4()

LEGACY_ROWS = (
    "INSERT INTO embeddings_legacy (movie_id, model, embedding) "
    "SELECT id, 'openai:x', array_fill(1, ARRAY[3072])::vector::halfvec(3072) FROM movies"
)
# What each kind finds beside what the sample library has already.
SEEDS: dict[Kind, str] = {
    Kind.ORPHANS: f"""
        INSERT INTO similarity_validation_cache
            (source_id, target_id, source_type, target_type, is_valid)
        SELECT '{GONE}', id, 'movie', 'series', true FROM series LIMIT 3
    """,
    Kind.EXPIRED_SESSIONS: """
        INSERT INTO sessions (user_id, expires_at) SELECT id, now() - interval '1 minute' FROM users
    """,
    Kind.LEGACY_EMBEDDINGS: LEGACY_ROWS,
    Kind.STALE_EMBEDDINGS: """
        UPDATE embeddings_256 SET model = 'openai:former'
        WHERE id IN (SELECT id FROM embeddings_256 ORDER BY id LIMIT 7)
    """,
    Kind.JOB_HISTORY: """
        INSERT INTO job_runs (job_name, status, started_at, completed_at, duration_ms)
        SELECT 'sync-users', 'failed', now() + i * interval '1 second', now(), 1
        FROM generate_series(1, 150) AS i
    """,
    Kind.API_ERRORS: """
        INSERT INTO api_errors (provider, error_type, created_at)
        VALUES ('tmdb', 'timeout', now() - interval '91 days')
    """,
}


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_takes_what_it_lists_and_nothing_else(
    sample_database: NewDatabase, kind: Kind
) -> None:
    database = sample_database()
    if kind in SEEDS:
        execute(database, SEEDS[kind])
    before = read_contents(database)
    plan = listed(database)
    assert read_contents(database) == before
    expected = rows_of(plan[kind])
    assert expected
    assert apply(database, kind).code == 0
    assert gone(before, read_contents(database)) == expected
    after = listed(database)
    assert after[kind]["rows"] == 0
    others = {name: report["rows"] for name, report in plan.items() if name != kind}
    assert {name: report["rows"] for name, report in after.items() if name != kind} == others


def test_everything_named_goes_in_one_run(sample_database: NewDatabase) -> None:
    database = sample_database()
    execute(database, *SEEDS.values())
    before = read_contents(database)
    expected: dict[str, int] = {}
    for kind in listed(database).values():
        for table, rows in rows_of(kind).items():
            expected[table] = expected.get(table, 0) + rows
    assert apply(database, *Kind).code == 0
    assert gone(before, read_contents(database)) == expected
    assert all(kind["rows"] == 0 for kind in listed(database).values())


# By rules of their own: nothing here may be touched by any kind.
MUST_STAY = {
    "newest completed run per user and media type": (
        "SELECT DISTINCT ON (user_id, media_type) id FROM recommendation_runs "
        "WHERE status = 'completed' ORDER BY user_id, media_type, created_at DESC"
    ),
    "newest completed run per job": (
        "SELECT DISTINCT ON (job_name) id FROM job_runs WHERE status = 'completed' "
        "ORDER BY job_name, started_at DESC"
    ),
    "embeddings of the active model": (
        "SELECT id FROM embeddings_256 WHERE model = (SELECT value::jsonb #>> "
        "'{embeddings,provider}' || ':' || (value::jsonb #>> '{embeddings,model}') "
        "FROM system_settings WHERE key = 'ai_config')"
    ),
    "live logins": "SELECT id FROM sessions WHERE expires_at > now()",
    "requests": "SELECT to_jsonb(r) FROM discovery_requests AS r",
    "suggestions": "SELECT to_jsonb(c) FROM discovery_candidates AS c",
    "users": "SELECT to_jsonb(u) FROM users AS u",
    "ratings": "SELECT to_jsonb(r) FROM user_ratings AS r",
    "schedules of live jobs": (
        "SELECT to_jsonb(j) FROM job_config AS j WHERE job_name NOT IN ('generate-embeddings', "
        "'generate-recommendations', 'rebuild-recommendations', 'sync-watch-history')"
    ),
    "migrations": "SELECT to_jsonb(m) FROM aperture_migrations AS m",
    "channels": "SELECT to_jsonb(c) FROM channels AS c",
}


def test_what_must_stay_stays(sample_database: NewDatabase) -> None:
    database = sample_database()
    execute(database, *SEEDS.values())
    with psycopg.connect(database, autocommit=True) as conn:
        before = {name: set(map(str, conn.execute(q.encode()))) for name, q in MUST_STAY.items()}
        assert all(before.values())
        assert apply(database, *Kind, "--keep", "1").code == 0
        after = {name: set(map(str, conn.execute(q.encode()))) for name, q in MUST_STAY.items()}
    assert after == before


def test_history_keeps_the_newest_and_what_counts(sample_database: NewDatabase) -> None:
    database = sample_database()
    execute(
        database,
        "DELETE FROM job_runs",
        "INSERT INTO job_runs (job_name, status, started_at, completed_at, duration_ms) "
        "SELECT 'sync-movies', CASE WHEN i = 1 THEN 'completed' ELSE 'failed' END, "
        "now() + i * interval '1 minute', now(), i FROM generate_series(1, 10) AS i",
        "UPDATE api_errors SET job_id = (SELECT id FROM job_runs WHERE duration_ms = 3)",
    )
    assert listed(database, "--keep", "4")["job-history"]["rows"] == 4
    assert apply(database, "job-history", "--keep", "4").code == 0
    with psycopg.connect(database) as conn:
        left = conn.execute("SELECT duration_ms FROM job_runs ORDER BY 1").fetchall()
    # 1 is the newest completed one, 3 is referred to, the others are the newest.
    assert [number for (number,) in left] == [1, 3, 7, 8, 9, 10]


def test_a_run_at_work_stays(sample_database: NewDatabase) -> None:
    database = sample_database()
    execute(
        database,
        """
        UPDATE recommendation_runs SET status = 'running', created_at = now() - interval '2 hours'
        WHERE id = (SELECT id FROM recommendation_runs ORDER BY created_at LIMIT 1)
        """,
        "UPDATE recommendation_runs SET created_at = now() WHERE status = 'completed'",
    )
    assert apply(database, "old-runs").code == 0
    with psycopg.connect(database) as conn:
        running = "SELECT count(*) FROM recommendation_runs WHERE status = 'running'"
        assert conn.execute(running).fetchone() == (1,)


def test_the_newest_completed_discovery_run_stays_behind_a_failed_one(
    sample_database: NewDatabase,
) -> None:
    database = sample_database()
    execute(
        database,
        "DELETE FROM discovery_runs",
        "INSERT INTO discovery_runs (user_id, media_type, status, run_type, created_at) "
        "SELECT (SELECT id FROM users LIMIT 1), 'movie', status, 'scheduled', now() - age "
        "FROM (VALUES ('failed', interval '1 day'), ('completed', '2 days'), "
        "('completed', '3 days'), ('failed', '4 days')) AS run (status, age)",
    )
    assert apply(database, "old-runs").code == 0
    with psycopg.connect(database) as conn:
        left = conn.execute("SELECT status FROM discovery_runs ORDER BY created_at").fetchall()
    assert left == [("completed",), ("failed",)]


def test_nothing_is_stale_without_a_model(sample_database: NewDatabase) -> None:
    database = sample_database()
    execute(database, "DELETE FROM system_settings WHERE key IN ('ai_config', 'openai_api_key')")
    report = listed(database)["stale-embeddings"]
    assert report["rows"] is None
    assert report["unknown"] == "no embedding model is known to be in use"
    before = read_contents(database)
    outcome = apply(database, "stale-embeddings")
    assert outcome.code == 1
    assert "error: stale-embeddings can't be deleted" in outcome.err
    assert gone(before, read_contents(database)) == {}


def test_a_model_without_embeddings_is_noted(sample_database: NewDatabase) -> None:
    database = sample_database()
    for media in ("", "series_", "episode_"):
        execute(database, f"UPDATE {media}embeddings_256 SET model = 'openai:former'")
    note = listed(database)["stale-embeddings"]["note"]
    assert str(note).endswith("with these gone, nothing can be searched until its jobs have run")


def test_rows_that_come_meanwhile_are_not_truncated_away(sample_database: NewDatabase) -> None:
    """Between the plan and the deletion, the former model's table gets a row of the active one."""
    database = sample_database()
    target = resolve_target(database, None, {})
    execute(
        database,
        "INSERT INTO custom_ai_models (provider, function_type, model_id, embedding_dimensions) "
        "VALUES ('openrouter', 'embeddings', 'new', 384)",
        """
        UPDATE system_settings
        SET value = '{"embeddings": {"provider": "openrouter", "model": "new"}}'
        WHERE key = 'ai_config'
        """,
    )
    with connect(target) as conn:
        with conn.transaction():
            plan = collect.collect(conn, [Kind.STALE_EMBEDDINGS])
        parts = {part.table: part.way for part in plan.kinds[0].tables}
        assert parts["embeddings_384"] is DeleteStrategy.TRUNCATE
        execute(
            database,
            "UPDATE embeddings_384 SET model = 'openrouter:new' "
            "WHERE id = (SELECT id FROM embeddings_384 LIMIT 1)",
        )
        for _ in delete_rows(conn, plan, lock_timeout_seconds=5):
            pass
        left = conn.execute("SELECT model FROM public.embeddings_384").fetchall()
    assert left == [("openrouter:new",)]


def test_a_model_that_was_changed_meanwhile_loses_nothing(sample_database: NewDatabase) -> None:
    """Between the plan and the deletion the model in use becomes the one that was stale."""
    database = sample_database()
    with connect(resolve_target(database, None, {})) as conn:
        with conn.transaction():
            plan = collect.collect(conn, [Kind.STALE_EMBEDDINGS])
        execute(
            database,
            "UPDATE system_settings SET value = "
            """'{"embeddings": {"provider": "ollama", "model": "other"}}' """
            "WHERE key = 'ai_config'",
        )
        before = read_contents(database)
        with pytest.raises(ApertureDbError, match="was changed meanwhile"):
            for _ in delete_rows(conn, plan, lock_timeout_seconds=5):
                pass
    assert gone(before, read_contents(database)) == {}


def test_rows_of_other_tables_are_not_taken_along(sample_database: NewDatabase) -> None:
    """They would go by ON DELETE CASCADE, and were not shown."""
    database = sample_database()
    execute(
        database,
        "CREATE TABLE notes (run_id uuid REFERENCES recommendation_runs ON DELETE CASCADE)",
        "INSERT INTO notes SELECT id FROM recommendation_runs",
    )
    before = read_contents(database)
    outcome = apply(database, "old-runs", "dead-jobs")
    assert outcome.code == 1
    assert 'the table "public"."notes", which is not Aperture\'s, refers to' in outcome.err
    assert gone(before, read_contents(database)) == {}
    assert apply(database, "dead-jobs").code == 0
