"""What the files 0061 to 0114 do to rows that are there before them.

Rows that a seed inserts have updated_at = created_at, so where updated_at is later than created_at
the file has touched the row.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow

from .conftest import MIGRATIONS, ApplyStep, Connection, DatabaseBefore

Migrate: TypeAlias = Callable[[str, str], Connection]

USER = """
    INSERT INTO users (provider, provider_user_id, username) VALUES ('emby', 'u1', 'ann');
"""
MOVIE = """
    INSERT INTO movies (provider_item_id, title) VALUES ('m1', 'Alien');
"""
SERIES = """
    INSERT INTO series (provider_item_id, title) VALUES ('s1', 'Dark');
"""
EPISODE = """
    INSERT INTO episodes (series_id, provider_item_id, season_number, episode_number, title)
    SELECT id, 'e1', 1, 1, 'Secrets' FROM series;
"""
DISCOVERY_RUN = """
    INSERT INTO discovery_runs (user_id, media_type) SELECT id, 'movie' FROM users;
"""
DISCOVERY_CANDIDATE = """
    INSERT INTO discovery_candidates
        (run_id, user_id, media_type, tmdb_id, rank, final_score, source, title)
    SELECT id, user_id, 'movie', 1, 1, 0.5, 'mdblist', 'Alien' FROM discovery_runs;
"""
DISCOVERY_REQUEST = """
    INSERT INTO discovery_requests
        (user_id, media_type, tmdb_id, title, seerr_request_id, seerr_media_id)
    SELECT id, 'movie', 1, 'Alien', 5, 6 FROM users;
"""
LIBRARY = """
    INSERT INTO strm_libraries (name, path) VALUES ('Top Picks', '/libraries/top');
"""
TASTE_PROFILE = """
    INSERT INTO user_taste_profiles (user_id, media_type) SELECT id, 'movie' FROM users;
"""
MDBLIST_DEFAULTS: dict[str, Any] = {
    "letterboxd_score": None,
    "mdblist_score": None,
    "streaming_providers": [],
    "mdblist_keywords": [],
    "mdblist_enriched_at": None,
    "languages": [],
}
VECTOR = "array_fill(0.5::real, ARRAY[3072])::halfvec(3072)"


@pytest.fixture
def migrated(database_before: DatabaseBefore, apply_step: ApplyStep) -> Migrate:
    """Seeds a database that is right before a file, and applies the file."""

    def migrate(name: str, seed: str) -> Connection:
        conn = database_before(name)
        conn.execute(seed)
        apply_step(conn, name)
        return conn

    return migrate


def fetch(conn: Connection, query: str) -> list[TupleRow]:
    return conn.execute(query).fetchall()


def settings(conn: Connection) -> dict[str, str]:
    return dict(fetch(conn, "SELECT key, value FROM system_settings"))


def existing_job(name: str) -> str:
    return f"""
        INSERT INTO job_config
            (job_name, schedule_type, schedule_hour, schedule_minute, is_enabled)
        VALUES ('{name}', 'weekly', 23, 45, false);
    """


def schedule(conn: Connection, name: str) -> list[TupleRow]:
    query = """
        SELECT schedule_type, schedule_hour, schedule_minute, is_enabled
        FROM job_config
        WHERE job_name = %s
    """
    return conn.execute(query, [name]).fetchall()


@pytest.mark.parametrize(
    ("name", "seed", "table", "expected"),
    [
        ("0062_strm_library_type.sql", LIBRARY, "strm_libraries", {"library_type": "ai-recs"}),
        ("0067_mdblist_integration.sql", MOVIE, "movies", MDBLIST_DEFAULTS),
        ("0067_mdblist_integration.sql", SERIES, "series", MDBLIST_DEFAULTS),
        (
            "0067_mdblist_integration.sql",
            "",
            "top_picks_config",
            {
                "popularity_source": "local",
                "hybrid_local_weight": 0.5,
                "hybrid_mdblist_weight": 0.5,
                "mdblist_movies_list_id": None,
                "mdblist_movies_list_name": None,
                "mdblist_series_list_id": None,
                "mdblist_series_list_name": None,
            },
        ),
        (
            "0071_mdblist_sort_options.sql",
            "",
            "top_picks_config",
            {"mdblist_movies_sort": "score", "mdblist_series_sort": "score"},
        ),
        (
            "0074_similarity_preferences.sql",
            USER + "INSERT INTO user_preferences (user_id) SELECT id FROM users",
            "user_preferences",
            {"similarity_full_franchise": False, "similarity_hide_watched": True},
        ),
        (
            "0080_discovery_feature.sql",
            USER,
            "users",
            {"discover_enabled": False, "discover_request_enabled": False},
        ),
        (
            "0087_min_franchise_items.sql",
            USER + TASTE_PROFILE,
            "user_taste_profiles",
            {"min_franchise_items": 2, "min_franchise_size": 2},
        ),
        (
            "0088_user_email.sql",
            USER,
            "users",
            {"email": None, "email_locked": False, "email_notifications_enabled": True},
        ),
        (
            "0094_discovery_original_language.sql",
            USER + DISCOVERY_RUN + DISCOVERY_CANDIDATE,
            "discovery_candidates",
            {"original_language": None},
        ),
        (
            "0098_discovery_pool.sql",
            USER + DISCOVERY_RUN + DISCOVERY_CANDIDATE,
            "discovery_candidates",
            {"is_personalized": False, "pool_id": None},
        ),
        (
            "0100_top_picks_language_filter.sql",
            "",
            "top_picks_config",
            {
                "movies_languages": [],
                "movies_include_unknown_language": True,
                "series_languages": [],
                "series_include_unknown_language": True,
            },
        ),
        ("0102_users_jellyseerr_user_id.sql", USER, "users", {"jellyseerr_user_id": None}),
        (
            "0106_gap_analysis.sql",
            USER + DISCOVERY_REQUEST,
            "discovery_requests",
            {"source": "discovery"},
        ),
        (
            "0109_job_schedule_interval_minutes.sql",
            "",
            "job_config",
            {"schedule_interval_minutes": None},
        ),
        ("0113_provider_disabled.sql", USER, "users", {"provider_disabled": False}),
    ],
)
def test_existing_rows_take_the_defaults_of_new_columns(
    migrated: Migrate, name: str, seed: str, table: str, expected: dict[str, Any]
) -> None:
    found = fetch(migrated(name, seed), f"SELECT DISTINCT {', '.join(expected)} FROM {table}")
    assert found == [tuple(expected.values())]


def test_0061_keeps_the_progress_of_an_existing_table(migrated: Migrate) -> None:
    conn = migrated(
        "0061_setup_progress.sql",
        """
        CREATE TABLE setup_progress (id integer PRIMARY KEY, current_step text);
        INSERT INTO setup_progress VALUES (1, 'users');
        """,
    )
    assert fetch(conn, "SELECT * FROM setup_progress") == [(1, "users")]


def test_0061_looks_for_its_trigger_on_any_table(migrated: Migrate) -> None:
    conn = migrated(
        "0061_setup_progress.sql",
        """
        CREATE TRIGGER trigger_setup_progress_updated_at BEFORE UPDATE ON users
        FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
        """,
    )
    found = fetch(conn, "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname ~ 'setup'")
    assert found == [("users",)]


def test_0064_adds_the_backup_job_and_its_configuration(migrated: Migrate) -> None:
    conn = migrated("0064_backup_config.sql", "")
    assert fetch(conn, "SELECT id, backup_path, retention_count FROM backup_config") == [
        (1, "/backups", 7)
    ]
    assert schedule(conn, "backup-database") == [("daily", 2, 0, True)]


def test_0064_keeps_an_existing_job(migrated: Migrate) -> None:
    conn = migrated("0064_backup_config.sql", existing_job("backup-database"))
    assert schedule(conn, "backup-database") == [("weekly", 23, 45, False)]


def test_0064_keeps_an_existing_configuration(migrated: Migrate) -> None:
    conn = migrated(
        "0064_backup_config.sql",
        """
        CREATE TABLE backup_config
            (id integer PRIMARY KEY, backup_path text, retention_count integer);
        INSERT INTO backup_config VALUES (1, '/mnt/nas', 30);
        """,
    )
    assert fetch(conn, "SELECT * FROM backup_config") == [(1, "/mnt/nas", 30)]


def test_0065_overwrites_the_counts_that_were_chosen(migrated: Migrate) -> None:
    conn = migrated(
        "0065_recommendation_count_defaults.sql",
        """
        UPDATE recommendation_config
        SET movie_selected_count = 50, series_selected_count = 30, series_max_candidates = 7;
        """,
    )
    found = fetch(
        conn,
        """
        SELECT movie_selected_count, series_selected_count, series_max_candidates,
               updated_at = applied_at
        FROM recommendation_config, aperture_migrations
        WHERE name = '0065_recommendation_count_defaults.sql'
        """,
    )
    assert found == [(12, 12, 7, True)]


def test_0066_adds_the_logo_job_and_setting(migrated: Migrate) -> None:
    conn = migrated("0066_studios_networks.sql", "")
    assert fetch(conn, "SELECT value, description FROM system_settings WHERE key ~ '^studio_'") == [
        ("false", None)
    ]
    assert schedule(conn, "enrich-studio-logos") == [("daily", 5, 0, True)]


def test_0066_keeps_what_is_there(migrated: Migrate) -> None:
    conn = migrated(
        "0066_studios_networks.sql",
        existing_job("enrich-studio-logos")
        + "INSERT INTO system_settings VALUES ('studio_logos_push_to_emby', 'true')",
    )
    assert settings(conn)["studio_logos_push_to_emby"] == "true"
    assert schedule(conn, "enrich-studio-logos") == [("weekly", 23, 45, False)]


@pytest.mark.parametrize("table", ["movies", "series"])
def test_0068_counts_enriched_items_as_generation_3(migrated: Migrate, table: str) -> None:
    conn = migrated(
        "0068_enrichment_version.sql",
        f"""
        INSERT INTO {table} (provider_item_id, title, enriched_at)
        VALUES ('a', 'Enriched', now()), ('b', 'Plain', NULL);
        """,
    )
    found = fetch(
        conn,
        f"SELECT title, enrichment_version, updated_at > created_at FROM {table} ORDER BY title",
    )
    assert found == [("Enriched", 3, True), ("Plain", 0, False)]


def test_0068_overwrites_the_setting_but_not_its_description(migrated: Migrate) -> None:
    conn = migrated(
        "0068_enrichment_version.sql",
        "INSERT INTO system_settings VALUES ('enrichment_version', '9', 'mine')",
    )
    found = fetch(
        conn,
        """
        SELECT value, description, updated_at > created_at
        FROM system_settings
        WHERE key = 'enrichment_version'
        """,
    )
    assert found == [("3", "mine", True)]


def test_0070_hands_the_shared_settings_on_to_series(migrated: Migrate) -> None:
    conn = migrated(
        "0070_top_picks_separate_settings.sql",
        """
        UPDATE top_picks_config
        SET popularity_source = 'hybrid', min_unique_viewers = 5, time_window_days = 90;
        """,
    )
    for kind in ("movies", "series"):
        found = fetch(
            conn,
            f"""
            SELECT {kind}_popularity_source, {kind}_min_unique_viewers, {kind}_time_window_days,
                   {kind}_use_all_matches
            FROM top_picks_config
            """,
        )
        assert found == [("hybrid", 5, 90, False)]


STEP_0075 = "0075_ai_provider_config.sql"


@pytest.mark.parametrize("seed", ["", "INSERT INTO system_settings VALUES ('openai_api_key', '')"])
def test_0075_writes_nothing_without_an_openai_key(
    database_before: DatabaseBefore, apply_step: ApplyStep, seed: str
) -> None:
    conn = database_before(STEP_0075)
    conn.execute(seed)
    before = settings(conn)
    assert len(apply_step(conn, STEP_0075)) == 1
    assert settings(conn) == before


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ({}, ("text-embedding-3-large", "gpt-4o-mini", "gpt-4o-mini")),
        (
            {"embedding_model": "text-embedding-3-small", "chat_assistant_model": "gpt-5"},
            ("text-embedding-3-small", "gpt-5", "gpt-4o-mini"),
        ),
        (
            {"embedding_model": "", "chat_assistant_model": "", "text_generation_model": ""},
            ("", "", ""),
        ),
    ],
    ids=["none set", "some set", "set to nothing"],
)
def test_0075_takes_over_the_models_that_are_set(
    database_before: DatabaseBefore,
    apply_step: ApplyStep,
    models: dict[str, str],
    expected: tuple[str, str, str],
) -> None:
    conn = database_before(STEP_0075)
    conn.execute("DELETE FROM system_settings WHERE key = 'embedding_model'")
    for setting in {"openai_api_key": "sk-1", **models}.items():
        conn.execute("INSERT INTO system_settings VALUES (%s, %s)", setting)
    assert len(apply_step(conn, STEP_0075)) == 1
    config = json.loads(settings(conn)["ai_config"])
    del config["migratedAt"]
    assert config == {
        "embeddings": {"provider": "openai", "model": expected[0]},
        "chat": {"provider": "openai", "model": expected[1]},
        "textGeneration": {"provider": "openai", "model": expected[2]},
        "migratedFrom": "openai_api_key",
    }


def test_0075_overwrites_an_existing_config(migrated: Migrate) -> None:
    conn = migrated(
        STEP_0075,
        """
        INSERT INTO system_settings (key, value, description)
        VALUES ('openai_api_key', 'sk-1', NULL), ('ai_config', '{"mine": 1}', 'mine');
        """,
    )
    found = fetch(
        conn,
        """
        SELECT value::jsonb ? 'mine', description = 'mine', updated_at > created_at
        FROM system_settings
        WHERE key = 'ai_config'
        """,
    )
    assert found == [(False, False, True)]


def test_0075_dates_in_the_time_zone_of_the_session(migrated: Migrate) -> None:
    conn = migrated(
        STEP_0075,
        """
        SET TimeZone = 'Asia/Tokyo';
        INSERT INTO system_settings VALUES ('openai_api_key', 'sk-1');
        """,
    )
    found = fetch(
        conn,
        f"""
        SELECT value::jsonb ->> 'migratedAt',
               to_char(applied_at AT TIME ZONE 'Asia/Tokyo', 'YYYY-MM-DD HH24:MI:SS')
        FROM system_settings, aperture_migrations
        WHERE key = 'ai_config' AND name = '{STEP_0075}'
        """,
    )
    [(migrated_at, tokyo_time)] = found
    assert migrated_at == tokyo_time.replace(" ", "T") + "Z"


STEP_0076 = "0076_fix_ai_config_api_keys.sql"


def with_key_and_config(key: str, config: str) -> str:
    return f"""
        INSERT INTO system_settings (key, value)
        VALUES ('openai_api_key', '{key}'), ('ai_config', '{config}');
    """


@pytest.mark.parametrize(
    "seed",
    [
        "INSERT INTO system_settings VALUES ('ai_config', 'not even JSON')",
        with_key_and_config("", '{"chat":{"provider":"openai"}}'),
        "INSERT INTO system_settings VALUES ('openai_api_key', 'sk-1')",
        # Every function has its key, or is not there; exploration is not looked at.
        with_key_and_config(
            "sk-1", '{"chat":{"provider":"openai","apiKey":"sk-2"},"exploration":{}}'
        ),
    ],
    ids=["no key", "empty key", "no config", "complete"],
)
def test_0076_changes_nothing_where_nothing_is_missing(
    database_before: DatabaseBefore, apply_step: ApplyStep, seed: str
) -> None:
    conn = database_before(STEP_0076)
    conn.execute(seed)
    before = fetch(conn, "SELECT * FROM system_settings ORDER BY key")
    assert len(apply_step(conn, STEP_0076)) == 1
    assert fetch(conn, "SELECT * FROM system_settings ORDER BY key") == before


def test_0076_completes_the_functions_of_openai(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before(STEP_0076)
    conn.execute(
        with_key_and_config(
            "sk-1",
            """{
                "embeddings": {"provider": "openai", "model": "a"},
                "chat": {"provider": "openai", "model": "b", "apiKey": null},
                "textGeneration": {"provider": "openai", "model": "c", "apiKey": "sk-2"},
                "exploration": {"provider": "openai", "model": "d"}
            }""",
        )
    )
    assert len(apply_step(conn, STEP_0076)) == 1
    assert json.loads(settings(conn)["ai_config"]) == {
        "embeddings": {"provider": "openai", "model": "a", "apiKey": "sk-1"},
        "chat": {"provider": "openai", "model": "b", "apiKey": "sk-1"},
        "textGeneration": {"provider": "openai", "model": "c", "apiKey": "sk-2"},
        "exploration": {"provider": "openai", "model": "d"},
    }


def test_0076_writes_the_config_back_even_if_no_function_is_of_openai(migrated: Migrate) -> None:
    conn = migrated(
        STEP_0076, with_key_and_config("sk-1", '{"chat":{"provider":"ollama"},"embeddings":null}')
    )
    found = fetch(
        conn, "SELECT value, updated_at > created_at FROM system_settings WHERE key = 'ai_config'"
    )
    assert found == [('{"chat": {"provider": "ollama"}, "embeddings": null}', True)]


def test_0076_fails_on_a_config_that_is_not_json(migrated: Migrate) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        migrated(STEP_0076, with_key_and_config("sk-1", "not even JSON"))


EMBEDDING_TABLES = [
    ("embeddings", "movie_id", "movies"),
    ("series_embeddings", "series_id", "series"),
    ("episode_embeddings", "episode_id", "episodes"),
]


@pytest.mark.parametrize(("table", "item", "items"), EMBEDDING_TABLES)
def test_0077_prefixes_the_models_of_openai(
    migrated: Migrate, table: str, item: str, items: str
) -> None:
    conn = migrated(
        "0077_update_embedding_model_names.sql",
        MOVIE
        + SERIES
        + EPISODE
        + f"""
        INSERT INTO {table} ({item}, model, embedding, canonical_text)
        SELECT id, model, {VECTOR}, note
        FROM {items},
            (VALUES
                ('text-embedding-3-large', 'superseded'),
                ('openai:text-embedding-3-large', 'prefixed'),
                ('text-embedding-3-small', 'renamed'),
                ('text-embedding-ada-002', 'renamed'),
                ('openai:text-embedding-other', 'left'),
                ('nomic-embed-text', 'left')
            ) AS rows (model, note);
        """,
    )
    assert fetch(conn, f"SELECT model, canonical_text FROM {table} ORDER BY model") == [
        ("nomic-embed-text", "left"),
        ("openai:text-embedding-3-large", "prefixed"),
        ("openai:text-embedding-3-small", "renamed"),
        ("openai:text-embedding-ada-002", "renamed"),
        ("openai:text-embedding-other", "left"),
    ]


def test_0077_keeps_the_unprefixed_row_of_another_item(migrated: Migrate) -> None:
    conn = migrated(
        "0077_update_embedding_model_names.sql",
        f"""
        INSERT INTO movies (provider_item_id, title) VALUES ('a', 'Alien'), ('b', 'Brazil');
        INSERT INTO embeddings (movie_id, model, embedding)
        SELECT id, CASE title WHEN 'Alien' THEN 'openai:' ELSE '' END || 'text-embedding-3-large',
               {VECTOR}
        FROM movies;
        """,
    )
    assert fetch(conn, "SELECT model, count(*) FROM embeddings GROUP BY model") == [
        ("openai:text-embedding-3-large", 2)
    ]


STEP_0078 = "0078_multi_dimension_embeddings.sql"


@pytest.mark.parametrize(("table", "item", "items"), EMBEDDING_TABLES)
def test_0078_copies_every_row_and_keeps_the_old_table(
    database_before: DatabaseBefore, apply_step: ApplyStep, table: str, item: str, items: str
) -> None:
    columns = f"id, created_at, {item}, model, embedding::text, canonical_text"
    conn = database_before(STEP_0078)
    conn.execute(
        MOVIE
        + SERIES
        + EPISODE
        + f"""
        INSERT INTO {table} ({item}, model, created_at, embedding, canonical_text)
        SELECT id, model, '2025-12-24', {VECTOR}, canonical_text
        FROM {items},
            (VALUES ('openai:text-embedding-3-large', 'A film'), ('unheard-of', NULL))
                AS rows (model, canonical_text);
        """
    )
    before = fetch(conn, f"SELECT {columns} FROM {table} ORDER BY id")
    assert apply_step(conn, STEP_0078)
    assert len(before) == 2
    assert fetch(conn, f"SELECT {columns} FROM {table}_3072 ORDER BY id") == before
    assert fetch(conn, f"SELECT {columns} FROM {table}_legacy ORDER BY id") == before
    assert fetch(conn, f"SELECT to_regclass('{table}')") == [(None,)]
    owner = f"SELECT tablename FROM pg_indexes WHERE indexname = '{table}_pkey'"
    assert fetch(conn, owner) == [(f"{table}_legacy",)]


def test_0078_skips_rows_that_the_new_table_has(migrated: Migrate) -> None:
    conn = migrated(
        STEP_0078,
        MOVIE
        + f"""
        CREATE TABLE embeddings_3072 (LIKE embeddings INCLUDING ALL);
        INSERT INTO embeddings_3072 (movie_id, model, embedding, canonical_text)
        SELECT id, 'a', {VECTOR}, 'new' FROM movies;
        INSERT INTO embeddings (movie_id, model, embedding, canonical_text)
        SELECT id, model, {VECTOR}, 'old' FROM movies, (VALUES ('a'), ('b')) AS models (model);
        """,
    )
    assert fetch(conn, "SELECT model, canonical_text FROM embeddings_3072 ORDER BY model") == [
        ("a", "new"),
        ("b", "old"),
    ]


def test_0078_leaves_an_old_table_whose_legacy_name_is_taken(migrated: Migrate) -> None:
    conn = migrated(
        STEP_0078,
        SERIES
        + f"""
        CREATE TABLE series_embeddings_legacy (note text);
        INSERT INTO series_embeddings (series_id, model, embedding)
        SELECT id, 'a', {VECTOR} FROM series;
        """,
    )
    counts = """
        SELECT (SELECT count(*) FROM series_embeddings),
               (SELECT count(*) FROM series_embeddings_3072),
               (SELECT count(*) FROM series_embeddings_legacy)
    """
    assert fetch(conn, counts) == [(1, 1, 0)]


def test_0078_passes_over_an_old_table_that_is_gone(migrated: Migrate) -> None:
    conn = migrated(STEP_0078, "DROP TABLE episode_embeddings")
    found = fetch(conn, "SELECT relname FROM pg_class WHERE relname ~ '_legacy$' ORDER BY relname")
    assert found == [("embeddings_legacy",), ("series_embeddings_legacy",)]
    assert fetch(conn, "SELECT count(*) FROM episode_embeddings_3072") == [(0,)]


def test_0079_clears_both_taste_embeddings_of_users_who_have_one(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    name = "0079_variable_taste_embedding_dimensions.sql"
    conn = database_before(name)
    conn.execute(
        f"""
        INSERT INTO users (provider, provider_user_id, username)
        VALUES ('emby', '1', 'films'), ('emby', '2', 'series'), ('emby', '3', 'neither');
        INSERT INTO user_preferences
            (user_id, taste_embedding, series_taste_embedding, taste_embedding_updated_at,
             series_taste_embedding_updated_at, taste_synopsis)
        SELECT id, CASE username WHEN 'films' THEN {VECTOR} END,
               CASE username WHEN 'series' THEN {VECTOR} END, '2025-12-24Z', '2025-12-25Z', 'Noir'
        FROM users;
        """
    )
    assert apply_step(conn, name)
    found = fetch(
        conn,
        """
        SELECT username, taste_embedding, series_taste_embedding,
               taste_embedding_updated_at::date::text,
               series_taste_embedding_updated_at::date::text, taste_synopsis,
               user_preferences.updated_at > user_preferences.created_at
        FROM user_preferences JOIN users ON users.id = user_id
        ORDER BY username
        """,
    )
    assert found == [
        ("films", None, None, None, None, "Noir", True),
        ("neither", None, None, "2025-12-24", "2025-12-25", "Noir", False),
        ("series", None, None, None, None, "Noir", True),
    ]


def test_0083_takes_back_the_times_that_the_trigger_has_set(migrated: Migrate) -> None:
    conn = migrated(
        "0083_remove_user_ratings_trigger.sql",
        USER
        + """
        INSERT INTO movies (provider_item_id, title)
        VALUES ('1', 'later'), ('2', 'equal'), ('3', 'earlier');
        INSERT INTO user_ratings (user_id, movie_id, rating, created_at, updated_at)
        SELECT users.id, movies.id, 7, '2025-06-15',
               CASE title WHEN 'later' THEN '2025-06-20' WHEN 'equal' THEN '2025-06-15'
                          ELSE '2025-06-10' END::timestamptz
        FROM users, movies;
        """,
    )
    found = fetch(
        conn,
        """
        SELECT title, user_ratings.updated_at::date::text
        FROM user_ratings JOIN movies ON movies.id = movie_id
        ORDER BY title
        """,
    )
    assert found == [("earlier", "2025-06-10"), ("equal", "2025-06-15"), ("later", "2025-06-15")]


def test_0084_removes_the_full_sync_jobs_and_keeps_their_history(migrated: Migrate) -> None:
    full_sync = ["full-sync-movie-watch-history", "full-sync-series-watch-history"]
    conn = migrated(
        "0084_remove_full_sync_watch_history_jobs.sql",
        f"""
        DELETE FROM job_config;
        INSERT INTO job_config (job_name)
        VALUES ('{full_sync[0]}'), ('{full_sync[1]}'), ('sync-movie-watch-history'),
               ('sync-series-watch-history'), ('sync-movies');
        INSERT INTO job_runs (job_name, status, started_at, completed_at, duration_ms)
        VALUES ('{full_sync[0]}', 'completed', now(), now(), 1);
        """,
    )
    query = """
        SELECT job_name, schedule_type, schedule_hour, is_enabled, updated_at > created_at
        FROM job_config
        ORDER BY job_name
    """
    assert fetch(conn, query) == [
        ("sync-movie-watch-history", "daily", 3, True, True),
        ("sync-movies", "daily", 3, True, False),
        ("sync-series-watch-history", "daily", 3, True, True),
    ]
    assert fetch(conn, "SELECT job_name FROM job_runs") == [(full_sync[0],)]


def test_0086_clears_derived_embeddings_and_keeps_what_users_chose(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    name = "0086_variable_taste_profile_dimensions.sql"
    conn = database_before(name)
    conn.execute(
        USER
        + f"""
        INSERT INTO user_taste_profiles
            (user_id, media_type, embedding, embedding_model, auto_updated_at, is_locked,
             refresh_interval_days)
        SELECT id, media_type, embedding, 'a', '2026-01-01', true, 90
        FROM users,
            (VALUES ('movie', {VECTOR}), ('series', NULL)) AS profiles (media_type, embedding);
        INSERT INTO user_custom_interests
            (user_id, interest_text, embedding, embedding_model, weight)
        SELECT id, interest, embedding, 'a', 0.5
        FROM users, (VALUES ('heists', {VECTOR}), ('noir', NULL)) AS texts (interest, embedding);
        """
    )
    assert apply_step(conn, name)
    profiles = """
        SELECT media_type, embedding, embedding_model, auto_updated_at::date::text, is_locked,
               refresh_interval_days
        FROM user_taste_profiles
        ORDER BY media_type
    """
    assert fetch(conn, profiles) == [
        ("movie", None, None, None, True, 90),
        ("series", None, "a", "2026-01-01", True, 90),
    ]
    interests = """
        SELECT interest_text, embedding, embedding_model, weight::text
        FROM user_custom_interests
        ORDER BY interest_text
    """
    assert fetch(conn, interests) == [("heists", None, None, "0.5"), ("noir", None, "a", "0.5")]


def test_0095_takes_the_first_language_of_the_library(migrated: Migrate) -> None:
    conn = migrated(
        "0095_backfill_discovery_language.sql",
        USER
        + DISCOVERY_RUN
        + """
        INSERT INTO movies (provider_item_id, title, tmdb_id, languages)
        VALUES ('1', 'Two languages', '1', '{English,French}'), ('2', 'Empty', '2', '{}'),
               ('3', 'Null', '3', NULL), ('4', 'Known', '4', '{English}'),
               ('5', 'First copy', '5', '{}'), ('6', 'Second copy', '5', '{Danish}'),
               ('7', 'No id', NULL, '{English}');
        INSERT INTO series (provider_item_id, title, tmdb_id, languages)
        VALUES ('1', 'Same id as a film', '1', '{Japanese}');
        INSERT INTO discovery_candidates
            (run_id, user_id, media_type, tmdb_id, rank, final_score, source, title,
             original_language)
        SELECT id, user_id, wanted.*
        FROM discovery_runs,
            (VALUES
                ('movie', 1, 1, 0.5, 'mdblist', 'film', NULL),
                ('movie', 2, 2, 0.5, 'mdblist', 'empty', NULL),
                ('movie', 3, 3, 0.5, 'mdblist', 'null', NULL),
                ('movie', 4, 4, 0.5, 'mdblist', 'known', 'de'),
                ('movie', 5, 5, 0.5, 'mdblist', 'two copies', NULL),
                ('movie', 6, 6, 0.5, 'mdblist', 'not in the library', NULL),
                ('series', 1, 7, 0.5, 'mdblist', 'series', NULL),
                ('series', 5, 8, 0.5, 'mdblist', 'only a film has the id', NULL)
            ) AS wanted;
        """,
    )
    rows = fetch(conn, "SELECT title, original_language FROM discovery_candidates")
    assert dict(rows) == {
        "film": "English",
        "empty": None,
        "null": None,
        "known": "de",
        "two copies": "Danish",
        "not in the library": None,
        "series": "Japanese",
        "only a film has the id": None,
    }


def test_0096_leaves_existing_candidates_not_enriched(migrated: Migrate) -> None:
    conn = migrated("0096_discovery_enrichment.sql", USER + DISCOVERY_RUN + DISCOVERY_CANDIDATE)
    assert fetch(conn, "SELECT is_enriched FROM discovery_candidates") == [(False,)]


def test_0096_replaces_nulls_of_a_column_that_is_there(migrated: Migrate) -> None:
    conn = migrated(
        "0096_discovery_enrichment.sql",
        USER
        + DISCOVERY_RUN
        + DISCOVERY_CANDIDATE
        + "ALTER TABLE discovery_candidates ADD COLUMN is_enriched boolean",
    )
    assert fetch(conn, "SELECT is_enriched FROM discovery_candidates") == [(True,)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("local", "mdblist"), ("emby_history", "mdblist")),
        (("hybrid", "local"), ("hybrid", "emby_history")),
    ],
)
def test_0099_renames_the_local_source(
    migrated: Migrate, before: tuple[str, str], after: tuple[str, str]
) -> None:
    conn = migrated(
        "0099_top_picks_multi_source.sql",
        f"""
        UPDATE top_picks_config
        SET movies_popularity_source = '{before[0]}', series_popularity_source = '{before[1]}',
            hybrid_mdblist_weight = 0.25;
        """,
    )
    query = """
        SELECT movies_popularity_source, series_popularity_source, hybrid_external_weight::text,
               movies_hybrid_external_source, series_hybrid_external_source,
               movies_auto_request_enabled, series_auto_request_enabled,
               movies_auto_request_limit, series_auto_request_limit, auto_request_cron
        FROM top_picks_config
    """
    defaults = ("tmdb_popular", "tmdb_popular", False, False, 10, 10, "0 0 * * 0")
    assert fetch(conn, query) == [(*after, "0.25", *defaults)]


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("0103_jellyseerr_require_user_mapping.sql", "jellyseerr_require_user_mapping", "false"),
        ("0110_justwatch_chart_cache.sql", "streaming_discovery_enabled", "false"),
        (
            "0110_justwatch_chart_cache.sql",
            "streaming_discovery_provider_strips",
            "nfx,dnp,hbo",
        ),
    ],
)
def test_new_settings_do_not_replace_existing_ones(
    migrated: Migrate, name: str, key: str, value: str
) -> None:
    assert settings(migrated(name, ""))[key] == value
    existing = f"INSERT INTO system_settings VALUES ('{key}', 'mine')"
    assert settings(migrated(name, existing))[key] == "mine"


STEP_0104 = "0104_rename_jellyseerr_to_seerr.sql"


def test_0104_renames_columns_and_keeps_their_values(migrated: Migrate) -> None:
    conn = migrated(
        STEP_0104,
        USER + DISCOVERY_REQUEST + "UPDATE users SET jellyseerr_user_id = 4",
    )
    assert fetch(conn, "SELECT seerr_user_id FROM users") == [(4,)]
    assert fetch(conn, "SELECT seerr_request_id, seerr_media_id FROM discovery_requests") == [
        (5, 6)
    ]


@pytest.mark.parametrize(
    "old_names",
    [
        {"seerr_request_id": "jellyseerr_request_id", "seerr_media_id": "jellyseerr_media_id"},
        {"seerr_media_id": "jellyseerr_media_id"},
    ],
    ids=["both", "one"],
)
def test_0104_renames_the_columns_of_early_discovery_tables(
    migrated: Migrate, old_names: dict[str, str]
) -> None:
    conn = migrated(
        STEP_0104,
        USER
        + DISCOVERY_REQUEST
        + "".join(
            f"ALTER TABLE discovery_requests RENAME COLUMN {new} TO {old};"
            for new, old in old_names.items()
        ),
    )
    assert fetch(conn, "SELECT seerr_request_id, seerr_media_id FROM discovery_requests") == [
        (5, 6)
    ]


def test_0104_leaves_users_that_have_the_new_column(migrated: Migrate) -> None:
    conn = migrated(
        STEP_0104,
        """
        DROP INDEX idx_users_jellyseerr_user_id_unique;
        ALTER TABLE users RENAME COLUMN jellyseerr_user_id TO seerr_user_id;
        """,
    )
    indexes = "SELECT indexname FROM pg_indexes WHERE indexdef ~ 'seerr_user_id'"
    assert fetch(conn, indexes) == []


def test_0104_renames_the_settings(migrated: Migrate) -> None:
    conn = migrated(
        STEP_0104,
        """
        DELETE FROM system_settings;
        INSERT INTO system_settings (key, value, description)
        VALUES ('jellyseerr_url', 'http://seerr', 'a'), ('jellyseerr_api_key', 'secret', 'b'),
               ('jellyseerr_enabled', 'true', 'c'),
               ('jellyseerr_require_user_mapping', 'true', 'd'),
               ('jellyseerr_unknown', 'x', 'e'), ('seerr_other', 'y', 'f');
        """,
    )
    query = """
        SELECT key, value, description, updated_at > created_at
        FROM system_settings
        ORDER BY description
    """
    assert fetch(conn, query) == [
        ("seerr_url", "http://seerr", "a", True),
        ("seerr_api_key", "secret", "b", True),
        ("seerr_enabled", "true", "c", True),
        ("seerr_require_user_mapping", "true", "d", True),
        ("jellyseerr_unknown", "x", "e", False),
        ("seerr_other", "y", "f", False),
    ]


def test_0104_fails_where_a_setting_has_both_names(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before(STEP_0104)
    conn.execute("INSERT INTO system_settings VALUES ('jellyseerr_url', 'a'), ('seerr_url', 'b')")
    before = settings(conn)
    with pytest.raises(psycopg.errors.UniqueViolation):
        apply_step(conn, STEP_0104)
    assert settings(conn) == before
    assert fetch(conn, "SELECT jellyseerr_user_id FROM users") == []


def test_0105_forgets_the_watching_libraries(migrated: Migrate) -> None:
    conn = migrated(
        "0105_remove_watching_strm_libraries.sql",
        """
        INSERT INTO strm_libraries (name, path, library_type)
        VALUES ('Watching', '/a', 'watching'), ('Picks', '/b', 'ai-recs');
        INSERT INTO system_settings (key, value)
        VALUES ('watching_library_use_symlinks', 'true'), ('watching_library_enabled', 'true');
        """,
    )
    assert fetch(conn, "SELECT name FROM strm_libraries") == [("Picks",)]
    kept = [key for key in settings(conn) if key.startswith("watching_")]
    assert kept == ["watching_library_enabled"]


def test_0108_deletes_all_gap_analyses(migrated: Migrate) -> None:
    conn = migrated(
        "0108_gap_results_status.sql",
        """
        INSERT INTO gap_analysis_runs (status) VALUES ('completed'), ('running');
        INSERT INTO gap_analysis_results (run_id, collection_id, collection_name, tmdb_id, title)
        SELECT id, 1, 'Alien Collection', 2, 'Aliens' FROM gap_analysis_runs;
        """,
    )
    assert fetch(conn, "TABLE gap_analysis_runs") == []
    assert fetch(conn, "TABLE gap_analysis_results") == []


STEP_0111 = "0111_streaming_provider_strips_default_mxx.sql"


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [("nfx,dnp,hbo", "nfx,dnp,mxx", True), ("nfx,dnp,hbo,amp", "nfx,dnp,hbo,amp", False)],
)
def test_0111_replaces_only_the_default(
    migrated: Migrate, before: str, after: str, *, changed: bool
) -> None:
    conn = migrated(
        STEP_0111,
        f"""
        DELETE FROM system_settings WHERE key = 'streaming_discovery_provider_strips';
        INSERT INTO system_settings (key, value, description)
        VALUES ('streaming_discovery_provider_strips', '{before}', 'mine');
        """,
    )
    query = """
        SELECT value, description <> 'mine', updated_at > created_at
        FROM system_settings
        WHERE key = 'streaming_discovery_provider_strips'
    """
    assert fetch(conn, query) == [(after, changed, changed)]


STEP_0114 = "0114_watch_history_playback_progress.sql"
WATCH_HISTORY = """
    INSERT INTO movies (provider_item_id, title)
    VALUES ('1', 'played'), ('2', 'dated'), ('3', 'favourite');
    INSERT INTO watch_history (user_id, movie_id, play_count, last_played_at, is_favorite)
    SELECT users.id, movies.id, count, last_played_at::timestamptz, is_favorite
    FROM users, movies
    JOIN (VALUES
        ('played', 1, NULL, false),
        ('dated', 0, '2026-02-02', false),
        ('favourite', 0, NULL, true)
    ) AS seen (title, count, last_played_at, is_favorite) USING (title);
"""


def test_0114_marks_what_was_played(migrated: Migrate) -> None:
    conn = migrated(STEP_0114, USER + WATCH_HISTORY)
    query = """
        SELECT title, played, playback_position_ticks, runtime_ticks,
               watch_history.updated_at > watch_history.created_at
        FROM watch_history JOIN movies ON movies.id = movie_id
        ORDER BY title
    """
    assert fetch(conn, query) == [
        ("dated", True, None, None, True),
        ("favourite", False, None, None, False),
        ("played", True, None, None, True),
    ]


def test_0114_keeps_columns_that_are_there(migrated: Migrate) -> None:
    conn = migrated(
        STEP_0114,
        USER
        + WATCH_HISTORY
        + """
        ALTER TABLE watch_history ADD COLUMN played boolean, ADD COLUMN runtime_ticks bigint;
        UPDATE watch_history SET runtime_ticks = 42;
        """,
    )
    query = "SELECT count(*) FILTER (WHERE played), sum(runtime_ticks)::int FROM watch_history"
    assert fetch(conn, query) == [(2, 3 * 42)]


def test_which_files_report_progress(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0061_setup_progress.sql")
    reporting = [
        path.name[:4]
        for path in sorted(MIGRATIONS.glob("*.sql"))
        if path.name >= "0061" and apply_step(conn, path.name)
    ]
    assert reporting == ["0075", "0076", "0077", "0078", "0079", "0086", "0091", "0092"]


def test_rows_after_all_files_on_an_empty_database(migrated: Migrate) -> None:
    conn = migrated(STEP_0114, "")
    assert row_counts(conn) == {
        "aperture_migrations": 114,
        "backup_config": 1,
        "job_config": 8,
        "parental_rating_values": 13,
        "recommendation_config": 1,
        "setup_progress": 1,
        "system_settings": 12,
        "top_picks_config": 1,
    }
    assert settings(conn) == {
        "ai_explanation_enabled": "true",
        "ai_explanation_user_override_allowed": "false",
        "ai_library_movies_title_template": "{{username}}'s AI Picks - Movies",
        "ai_library_series_title_template": "{{username}}'s AI Picks - TV Series",
        "ai_recs_movies_use_symlinks": "false",
        "ai_recs_series_use_symlinks": "true",
        "embedding_model": "text-embedding-3-large",
        "enrichment_version": "3",
        "seerr_require_user_mapping": "false",
        "streaming_discovery_enabled": "false",
        "streaming_discovery_provider_strips": "nfx,dnp,mxx",
        "studio_logos_push_to_emby": "false",
    }
    undescribed = fetch(conn, "SELECT key FROM system_settings WHERE description IS NULL")
    assert undescribed == [("studio_logos_push_to_emby",)]
    jobs = """
        SELECT job_name, schedule_type, schedule_hour, schedule_minute
        FROM job_config
        WHERE is_enabled
          AND num_nulls(schedule_day_of_week, schedule_interval_hours, schedule_interval_minutes,
                        last_run_at, last_run_status, last_run_duration_ms) = 6
        ORDER BY job_name
    """
    assert fetch(conn, jobs) == [
        ("backup-database", "daily", 2, 0),
        ("enrich-studio-logos", "daily", 5, 0),
        ("generate-embeddings", "manual", None, None),
        ("generate-recommendations", "daily", 4, 0),
        ("rebuild-recommendations", "manual", None, None),
        ("sync-movie-libraries", "daily", 5, 0),
        ("sync-movies", "daily", 3, 0),
        ("sync-watch-history", "daily", 3, 0),
    ]
    ratings = "SELECT id, rating_name, rating_value, country FROM parental_rating_values ORDER BY 1"
    assert fetch(conn, ratings) == [
        (1, "G", 1, "US"),
        (2, "TV-Y", 1, "US"),
        (3, "TV-Y7", 2, "US"),
        (4, "TV-G", 3, "US"),
        (5, "PG", 4, "US"),
        (6, "TV-PG", 5, "US"),
        (7, "PG-13", 7, "US"),
        (8, "TV-14", 8, "US"),
        (9, "R", 9, "US"),
        (10, "TV-MA", 10, "US"),
        (11, "NC-17", 11, "US"),
        (12, "NR", 100, "US"),
        (13, "Unrated", 100, "US"),
    ]
    assert differing_from_defaults(conn, "top_picks_config") == {
        "series_use_symlinks": True,
        "movies_popularity_source": "emby_history",
        "series_popularity_source": "emby_history",
        "series_min_unique_viewers": 2,
    }
    assert differing_from_defaults(conn, "recommendation_config") == {}
    assert differing_from_defaults(conn, "backup_config") == {}
    assert differing_from_defaults(conn, "setup_progress") == {}


def row_counts(conn: Connection) -> dict[str, int]:
    """The exact number of rows of each table that has any."""
    counts = {}
    for (table,) in fetch(conn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
        [(rows,)] = conn.execute(query).fetchall()
        if rows:
            counts[table] = rows
    return counts


def differing_from_defaults(conn: Connection, table: str) -> dict[str, Any]:
    """The columns whose value in the table's one row is not the column's default."""
    query = f"SELECT to_jsonb({table}) - ARRAY['created_at', 'updated_at'] FROM {table}"
    [(stored,)] = fetch(conn, query)
    conn.execute(f"DELETE FROM {table}; INSERT INTO {table} DEFAULT VALUES")
    [(default,)] = fetch(conn, query)
    return {column: value for column, value in stored.items() if value != default[column]}
