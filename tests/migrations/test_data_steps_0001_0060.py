"""What the migrations 0001 to 0060 do to rows that are there before them."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors, sql

from .conftest import MIGRATIONS, ApplyStep, Connection, DatabaseBefore

# Seeds. Rows made by them carry OLD, so that a row touched later can be told.
OLD = "2020-01-01 00:00:00+00"
USER: LiteralString = """
    INSERT INTO users (provider, provider_user_id, username, updated_at)
    VALUES ('emby', 'u1', 'ann', '2020-01-01 00:00:00+00');
"""
MOVIE: LiteralString = """
    INSERT INTO movies (provider_item_id, title, updated_at)
    VALUES ('m1', 'Alien', '2020-01-01 00:00:00+00');
"""
SERIES: LiteralString = """
    INSERT INTO series (provider_item_id, title, updated_at)
    VALUES ('s1', 'Dark', '2020-01-01 00:00:00+00');
"""
EPISODES: LiteralString = """
    INSERT INTO episodes (series_id, provider_item_id, season_number, episode_number, title)
    SELECT id, 'e' || n, 1, n, 'Secrets' FROM series, generate_series(1, 2) AS n;
"""
PREFERENCES: LiteralString = """
    INSERT INTO user_preferences (user_id, updated_at)
    SELECT id, '2020-01-01 00:00:00+00' FROM users;
"""
WATCHED: LiteralString = """
    INSERT INTO watch_history (user_id, movie_id) SELECT users.id, movies.id FROM users, movies;
"""
CANDIDATE: LiteralString = """
    INSERT INTO recommendation_runs (user_id) SELECT id FROM users;
    INSERT INTO recommendation_candidates (run_id, movie_id, rank, final_score)
    SELECT recommendation_runs.id, movies.id, 1, 0.5 FROM recommendation_runs, movies;
"""
EVIDENCE: LiteralString = """
    INSERT INTO recommendation_evidence (candidate_id, similar_movie_id, similarity)
    SELECT id, movie_id, 0.9 FROM recommendation_candidates;
"""
SETTINGS_TABLE: LiteralString = """
    CREATE TABLE system_settings (
        key text PRIMARY KEY,
        value text NOT NULL,
        description text,
        updated_at timestamptz NOT NULL DEFAULT '2020-01-01 00:00:00+00'
    );
"""


def rows(conn: Connection, query: LiteralString) -> list[tuple[Any, ...]]:
    return conn.execute(query).fetchall()


def settings(conn: Connection) -> dict[str, str]:
    return dict(conn.execute("SELECT key, value FROM system_settings").fetchall())


def touched(conn: Connection, table: str, key: str) -> list[Any]:
    """Keys of the rows whose updated_at is the time of the last step; all others still have OLD."""
    query = sql.SQL(
        "SELECT {key}, updated_at = step.applied_at, updated_at = {old} FROM {table},"
        " (SELECT applied_at FROM aperture_migrations ORDER BY id DESC LIMIT 1) AS step"
        " ORDER BY {key}"
    ).format(key=sql.Identifier(key), table=sql.Identifier(table), old=OLD)
    found = conn.execute(query).fetchall()
    assert all(is_new or is_old for _, is_new, is_old in found)
    return [name for name, is_new, _ in found if is_new]


def test_0001_keeps_the_record_that_the_runner_made(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0001_init.sql")
    conn.execute("INSERT INTO aperture_migrations (name) VALUES ('0000_other.sql')")
    apply_step(conn, "0001_init.sql")
    assert rows(conn, "SELECT id, name FROM aperture_migrations ORDER BY id") == [
        (1, "0000_other.sql"),
        (2, "0001_init.sql"),
    ]


def test_0005_every_update_sets_updated_at(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0005_updated_at_trigger.sql")
    conn.execute(USER)
    apply_step(conn, "0005_updated_at_trigger.sql")
    assert touched(conn, "users", "username") == []
    query: LiteralString = "UPDATE users SET updated_at = '1999-01-01' RETURNING updated_at = now()"
    assert rows(conn, query) == [(True,)]


def test_0014_ratings_keep_their_values(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0014_fix_rating_columns.sql")
    conn.execute("""
        INSERT INTO movies (provider_item_id, title, community_rating, critic_rating, updated_at)
        VALUES ('m1', 'Alien', 8.5, 99.9, '2020-01-01 00:00:00+00'),
               ('m2', 'Aliens', NULL, 0, '2020-01-01 00:00:00+00')
    """)
    apply_step(conn, "0014_fix_rating_columns.sql")
    query: LiteralString = """
        SELECT community_rating::text, critic_rating::text FROM movies ORDER BY title
    """
    assert rows(conn, query) == [("8.50", "99.90"), (None, "0.00")]
    assert touched(conn, "movies", "title") == []


def test_0018_starts_with_one_row_of_defaults(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0018_recommendation_config.sql")
    apply_step(conn, "0018_recommendation_config.sql")
    query: LiteralString = """
        SELECT id, max_candidates, selected_count, recent_watch_limit, similarity_weight::text,
            novelty_weight::text, rating_weight::text, diversity_weight::text
        FROM recommendation_config
    """
    assert rows(conn, query) == [(1, 50000, 12, 50, "0.40", "0.20", "0.20", "0.20")]


@pytest.mark.parametrize(
    ("name", "seed", "query", "expected"),
    [
        (
            "0016_movie_library_id.sql",
            MOVIE,
            "SELECT provider_library_id FROM movies",
            (None,),
        ),
        (
            "0017_include_watched_preference.sql",
            USER + PREFERENCES,
            "SELECT include_watched FROM user_preferences",
            (False,),
        ),
        (
            "0019_taste_synopsis.sql",
            USER + PREFERENCES,
            "SELECT taste_synopsis, taste_synopsis_updated_at FROM user_preferences",
            (None, None),
        ),
        (
            "0020_add_library_guid.sql",
            "INSERT INTO strm_libraries (name, path) VALUES ('Picks', '/picks')",
            "SELECT provider_library_guid FROM strm_libraries",
            (None,),
        ),
        (
            "0021_user_settings_and_explanation.sql",
            USER + MOVIE + CANDIDATE,
            "SELECT ai_explanation FROM recommendation_candidates",
            (None,),
        ),
        (
            "0022_expanded_movie_metadata.sql",
            MOVIE,
            """SELECT studios, directors, writers, actors, tags, production_countries,
                   tagline, imdb_id, tmdb_id, sort_title, container
               FROM movies""",
            ([], [], [], [], [], [], None, None, None, None, None),
        ),
        (
            "0025_user_parental_rating.sql",
            USER,
            "SELECT max_parental_rating FROM users",
            (None,),
        ),
        (
            "0033_user_preferences_series.sql",
            USER + PREFERENCES,
            """SELECT series_taste_embedding::text, series_taste_embedding_updated_at,
                   series_taste_synopsis, series_taste_synopsis_updated_at
               FROM user_preferences""",
            (None, None, None, None),
        ),
        (
            "0034_user_settings_series.sql",
            USER + "INSERT INTO user_settings (user_id) SELECT id FROM users",
            "SELECT series_library_name FROM user_settings",
            (None,),
        ),
        (
            "0035_recommendation_runs_media_type.sql",
            USER + MOVIE + CANDIDATE,
            "SELECT media_type FROM recommendation_runs",
            ("movie",),
        ),
        (
            "0036_recommendation_candidates_series.sql",
            USER + MOVIE + CANDIDATE,
            "SELECT movie_id IS NOT NULL, series_id FROM recommendation_candidates",
            (True, None),
        ),
        (
            "0037_strm_libraries_media_type.sql",
            "INSERT INTO strm_libraries (name, path) VALUES ('Picks', '/picks')",
            "SELECT media_type FROM strm_libraries",
            ("movies",),
        ),
        (
            "0038_playlists_media_type.sql",
            USER
            + """INSERT INTO playlists (user_id, name, provider_playlist_id)
                 SELECT id, 'Picks', 'p1' FROM users""",
            "SELECT media_type FROM playlists",
            ("movies",),
        ),
        (
            "0039_recommendation_config_series.sql",
            "",
            "SELECT series_selected_count, series_recent_watch_limit FROM recommendation_config",
            (12, 100),
        ),
        (
            "0041_job_runs.sql",
            "DELETE FROM job_config WHERE job_name <> 'sync-movies'",
            "SELECT last_run_at, last_run_status, last_run_duration_ms FROM job_config",
            (None, None, None),
        ),
        (
            "0043_recommendation_columns.sql",
            USER + MOVIE + CANDIDATE,
            """SELECT selected_rank, completed_at
               FROM recommendation_candidates, recommendation_runs""",
            (None, None),
        ),
        (
            "0044_top_picks_config.sql",
            USER,
            "SELECT watch_history_synced_at, series_watch_history_synced_at FROM users",
            (None, None),
        ),
        (
            "0046_output_config.sql",
            USER,
            "SELECT ai_explanation_override_allowed, ai_explanation_enabled FROM users",
            (False, None),
        ),
        (
            "0049_watch_history_management.sql",
            USER,
            "SELECT can_manage_watch_history FROM users",
            (False,),
        ),
        (
            "0052_series_evidence_and_titles.sql",
            USER + MOVIE + CANDIDATE + EVIDENCE,
            """SELECT similar_movie_id IS NOT NULL, similar_series_id
               FROM recommendation_evidence""",
            (True, None),
        ),
        (
            "0053_user_ratings.sql",
            USER + PREFERENCES,
            "SELECT dislike_behavior FROM user_preferences",
            ("exclude",),
        ),
        (
            "0054_trakt_integration.sql",
            USER,
            """SELECT trakt_access_token, trakt_refresh_token, trakt_token_expires_at,
                   trakt_username, trakt_synced_at
               FROM users""",
            (None, None, None, None, None),
        ),
        (
            "0057_assistant_tool_invocations.sql",
            USER
            + """INSERT INTO assistant_conversations (user_id) SELECT id FROM users;
                 INSERT INTO assistant_messages (conversation_id, role, content)
                 SELECT id, 'user', 'Hello' FROM assistant_conversations""",
            "SELECT tool_invocations FROM assistant_messages",
            (None,),
        ),
        (
            "0059_enriched_metadata.sql",
            MOVIE + SERIES,
            """SELECT movies.keywords, cinematographers, composers, editors, collection_id,
                   movies.enriched_at, series.keywords, series.awards_summary, series.enriched_at
               FROM movies, series""",
            ([], [], [], [], None, None, [], None, None),
        ),
    ],
    ids=lambda value: value[:4] if isinstance(value, str) and value.endswith(".sql") else "",
)
def test_new_columns_of_existing_rows(
    database_before: DatabaseBefore,
    apply_step: ApplyStep,
    name: str,
    seed: LiteralString,
    query: LiteralString,
    expected: tuple[Any, ...],
) -> None:
    conn = database_before(name)
    conn.execute(seed)
    apply_step(conn, name)
    assert rows(conn, query) == [expected]


def test_0023_names_the_embedding_model(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0023_embedding_model_setting.sql")
    apply_step(conn, "0023_embedding_model_setting.sql")
    query: LiteralString = "SELECT key, value, description IS NOT NULL FROM system_settings"
    assert rows(conn, query) == [("embedding_model", "text-embedding-3-small", True)]


def test_0023_keeps_a_setting_that_is_there(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0023_embedding_model_setting.sql")
    conn.execute(SETTINGS_TABLE)
    conn.execute("INSERT INTO system_settings (key, value) VALUES ('embedding_model', 'mine')")
    apply_step(conn, "0023_embedding_model_setting.sql")
    query: LiteralString = "SELECT key, value, description FROM system_settings"
    assert rows(conn, query) == [("embedding_model", "mine", None)]
    assert touched(conn, "system_settings", "key") == []


def test_0024_drops_all_embeddings(database_before: DatabaseBefore, apply_step: ApplyStep) -> None:
    conn = database_before("0024_variable_embedding_dimensions.sql")
    conn.execute(USER + MOVIE + PREFERENCES)
    conn.execute("""
        INSERT INTO embeddings (movie_id, model, embedding)
        SELECT id, model, array_fill(0.1::real, ARRAY[1536])::vector
        FROM movies, unnest(ARRAY['text-embedding-3-small', 'other']) AS model;
        INSERT INTO users (provider, provider_user_id, username) VALUES ('emby', 'u2', 'bob');
        INSERT INTO user_preferences
            (user_id, updated_at, taste_embedding, taste_embedding_updated_at, taste_synopsis)
        SELECT id, '2020-01-01', array_fill(0.1::real, ARRAY[1536])::vector, now(), 'Likes space'
        FROM users WHERE username = 'bob';
    """)
    apply_step(conn, "0024_variable_embedding_dimensions.sql")
    assert rows(conn, "SELECT * FROM embeddings") == []
    query: LiteralString = """
        SELECT username, taste_embedding::text, taste_embedding_updated_at, taste_synopsis
        FROM user_preferences JOIN users ON users.id = user_id ORDER BY username
    """
    assert rows(conn, query) == [("ann", None, None, None), ("bob", None, None, "Likes space")]
    assert len(touched(conn, "user_preferences", "user_id")) == 2


def test_0024_overwrites_the_model_and_keeps_its_description(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0024_variable_embedding_dimensions.sql")
    conn.execute("""
        DELETE FROM system_settings;
        INSERT INTO system_settings (key, value, description, updated_at)
        VALUES ('embedding_model', 'mine', 'My words', '2020-01-01 00:00:00+00'),
               ('other', 'stays', NULL, '2020-01-01 00:00:00+00');
    """)
    apply_step(conn, "0024_variable_embedding_dimensions.sql")
    query: LiteralString = "SELECT key, value, description FROM system_settings ORDER BY key"
    assert rows(conn, query) == [
        ("embedding_model", "text-embedding-3-large", "My words"),
        ("other", "stays", None),
    ]
    assert touched(conn, "system_settings", "key") == ["embedding_model"]


def test_0024_adds_the_model_where_it_is_missing(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0024_variable_embedding_dimensions.sql")
    conn.execute("DELETE FROM system_settings")
    apply_step(conn, "0024_variable_embedding_dimensions.sql")
    assert settings(conn) == {"embedding_model": "text-embedding-3-large"}


PARENTAL_RATINGS = [
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


def test_0025_fills_the_parental_ratings(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0025_user_parental_rating.sql")
    apply_step(conn, "0025_user_parental_rating.sql")
    query: LiteralString = """
        SELECT id, rating_name, rating_value, country FROM parental_rating_values ORDER BY id
    """
    assert rows(conn, query) == PARENTAL_RATINGS


def test_0025_keeps_a_rating_that_is_there(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0025_user_parental_rating.sql")
    conn.execute("""
        CREATE TABLE parental_rating_values (
            rating_name text UNIQUE, rating_value integer, country text
        );
        INSERT INTO parental_rating_values VALUES ('R', 17, 'DE');
    """)
    apply_step(conn, "0025_user_parental_rating.sql")
    query: LiteralString = """
        SELECT rating_value, country, (SELECT count(*) FROM parental_rating_values)
        FROM parental_rating_values WHERE rating_name = 'R'
    """
    assert rows(conn, query) == [(17, "DE", 13)]


def test_0026_schedules_the_first_jobs(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0026_job_config.sql")
    apply_step(conn, "0026_job_config.sql")
    query: LiteralString = """
        SELECT job_name, schedule_type, schedule_hour, schedule_minute, schedule_day_of_week,
            schedule_interval_hours, is_enabled
        FROM job_config ORDER BY job_name
    """
    assert rows(conn, query) == [
        ("generate-embeddings", "manual", None, None, None, None, True),
        ("generate-recommendations", "daily", 4, 0, None, None, True),
        ("rebuild-recommendations", "manual", None, None, None, None, True),
        ("sync-movies", "daily", 3, 0, None, None, True),
        ("sync-strm", "daily", 5, 0, None, None, True),
        ("sync-watch-history", "daily", 3, 0, None, None, True),
    ]


def test_0026_keeps_jobs_that_are_there_but_makes_two_manual(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0026_job_config.sql")
    conn.execute("""
        CREATE TABLE job_config (
            job_name text PRIMARY KEY,
            schedule_type text NOT NULL,
            schedule_hour integer,
            schedule_minute integer,
            schedule_day_of_week integer,
            schedule_interval_hours integer,
            updated_at timestamptz DEFAULT now()
        );
        INSERT INTO job_config (job_name, schedule_type, schedule_hour, updated_at)
        VALUES ('sync-movies', 'weekly', 9, '2020-01-01 00:00:00+00'),
               ('generate-embeddings', 'daily', 9, '2020-01-01 00:00:00+00');
    """)
    apply_step(conn, "0026_job_config.sql")
    query: LiteralString = """
        SELECT job_name, schedule_type, schedule_hour FROM job_config ORDER BY job_name
    """
    assert rows(conn, query) == [
        ("generate-embeddings", "manual", 9),
        ("generate-recommendations", "daily", 4),
        ("rebuild-recommendations", "manual", None),
        ("sync-movies", "weekly", 9),
        ("sync-strm", "daily", 5),
        ("sync-watch-history", "daily", 3),
    ]
    assert "generate-embeddings" in touched(conn, "job_config", "job_name")
    assert "sync-movies" not in touched(conn, "job_config", "job_name")


def test_0027_only_leaves_its_record(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0027_media_server_settings.sql")
    before = settings(conn)
    assert apply_step(conn, "0027_media_server_settings.sql") == []
    assert settings(conn) == before
    assert rows(conn, "SELECT name FROM aperture_migrations ORDER BY id DESC LIMIT 1") == [
        ("0027_media_server_settings.sql",)
    ]


def test_0032_watch_history_takes_episodes_once_per_user(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0032_watch_history_episodes.sql")
    conn.execute(USER + MOVIE + SERIES + EPISODES + WATCHED)
    apply_step(conn, "0032_watch_history_episodes.sql")
    query: LiteralString = "SELECT media_type, movie_id IS NOT NULL, episode_id FROM watch_history"
    assert rows(conn, query) == [("movie", True, None)]
    watch_episodes: LiteralString = """
        INSERT INTO watch_history (user_id, episode_id, media_type)
        SELECT users.id, episodes.id, 'episode' FROM users, episodes
    """
    assert conn.execute(watch_episodes).rowcount == 2
    with pytest.raises(errors.UniqueViolation):
        conn.execute(watch_episodes)
    with pytest.raises(errors.UniqueViolation):
        conn.execute(WATCHED)


def test_0032_accepts_that_the_old_constraint_is_gone(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0032_watch_history_episodes.sql")
    conn.execute("ALTER TABLE watch_history DROP CONSTRAINT watch_history_user_movie_unique")
    apply_step(conn, "0032_watch_history_episodes.sql")
    conn.execute(USER + MOVIE + WATCHED)
    with pytest.raises(errors.UniqueViolation):
        conn.execute(WATCHED)


def test_0040_enables_films_for_enabled_users(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0040_user_media_types.sql")
    conn.execute("""
        INSERT INTO users (provider, provider_user_id, username, is_enabled, updated_at)
        VALUES ('emby', 'u1', 'ann', true, '2020-01-01 00:00:00+00'),
               ('emby', 'u2', 'bob', false, '2020-01-01 00:00:00+00')
    """)
    apply_step(conn, "0040_user_media_types.sql")
    query: LiteralString = """
        SELECT username, movies_enabled, series_enabled FROM users ORDER BY username
    """
    assert rows(conn, query) == [("ann", True, False), ("bob", False, False)]
    assert touched(conn, "users", "username") == ["ann", "bob"]


def test_0042_keeps_the_film_values_and_adds_those_of_series(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0042_split_recommendation_config.sql")
    conn.execute("""
        UPDATE recommendation_config
        SET max_candidates = 1, selected_count = 2, recent_watch_limit = 3,
            similarity_weight = 0.11, novelty_weight = 0.12, rating_weight = 0.13,
            diversity_weight = 0.14, series_selected_count = 5, series_recent_watch_limit = 6
    """)
    apply_step(conn, "0042_split_recommendation_config.sql")
    film_values: LiteralString = """
        SELECT movie_max_candidates, movie_selected_count, movie_recent_watch_limit,
            movie_similarity_weight::text, movie_novelty_weight::text,
            movie_rating_weight::text, movie_diversity_weight::text
        FROM recommendation_config
    """
    assert rows(conn, film_values) == [(1, 2, 3, "0.11", "0.12", "0.13", "0.14")]
    series_values: LiteralString = """
        SELECT series_max_candidates, series_selected_count, series_recent_watch_limit,
            series_similarity_weight::text, series_novelty_weight::text,
            series_rating_weight::text, series_diversity_weight::text
        FROM recommendation_config
    """
    assert rows(conn, series_values) == [(50000, 5, 6, "0.40", "0.20", "0.20", "0.20")]


def test_0044_starts_with_one_row_of_defaults(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0044_top_picks_config.sql")
    apply_step(conn, "0044_top_picks_config.sql")
    query: LiteralString = """
        SELECT id, is_enabled, time_window_days, movies_count, series_count,
            unique_viewers_weight::text, play_count_weight::text, completion_weight::text,
            refresh_cron, last_refreshed_at, movies_library_name, series_library_name,
            min_unique_viewers
        FROM top_picks_config
    """
    titles = ("Top Picks - Movies", "Top Picks - Series")
    assert rows(conn, query) == [
        (1, False, 30, 10, 10, "0.50", "0.30", "0.20", "0 6 * * *", None, *titles, 2)
    ]


def test_0044_keeps_the_row_that_is_there(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0044_top_picks_config.sql")
    conn.execute("""
        CREATE TABLE top_picks_config (id integer PRIMARY KEY, movies_count integer DEFAULT 10);
        INSERT INTO top_picks_config VALUES (1, 25);
    """)
    apply_step(conn, "0044_top_picks_config.sql")
    assert rows(conn, "SELECT * FROM top_picks_config") == [(1, 25)]


def test_0046_adds_settings_that_are_missing(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0046_output_config.sql")
    conn.execute("INSERT INTO system_settings (key, value) VALUES ('ai_explanation_enabled', 'no')")
    apply_step(conn, "0046_output_config.sql")
    assert settings(conn) == {
        "embedding_model": "text-embedding-3-large",
        "user_recs_use_symlinks": "false",
        "ai_explanation_enabled": "no",
        "ai_explanation_user_override_allowed": "false",
    }


def test_0046_top_picks_go_to_libraries(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0046_output_config.sql")
    apply_step(conn, "0046_output_config.sql")
    query: LiteralString = """
        SELECT use_symlinks,
            movies_library_enabled, movies_collection_enabled, movies_playlist_enabled,
            series_library_enabled, series_collection_enabled, series_playlist_enabled,
            movies_collection_name, series_collection_name
        FROM top_picks_config
    """
    titles = ("Top Picks - Movies", "Top Picks - Series")
    assert rows(conn, query) == [(False, True, False, False, True, False, False, *titles)]
    assert settings(conn)["ai_explanation_enabled"] == "true"


@pytest.mark.parametrize(("before", "series"), [(True, True), (False, False), (None, False)])
def test_0047_series_take_the_common_choice(
    database_before: DatabaseBefore, apply_step: ApplyStep, before: bool | None, series: bool
) -> None:
    conn = database_before("0047_separate_symlink_settings.sql")
    conn.execute("UPDATE top_picks_config SET use_symlinks = %s", (before,))
    apply_step(conn, "0047_separate_symlink_settings.sql")
    query: LiteralString = """
        SELECT use_symlinks, movies_use_symlinks, series_use_symlinks FROM top_picks_config
    """
    assert rows(conn, query) == [(before, False, series)]


@pytest.mark.parametrize("table", ["movies", "series"])
def test_0048_studios_become_objects(
    database_before: DatabaseBefore, apply_step: ApplyStep, table: str
) -> None:
    conn = database_before("0048_studio_jsonb.sql")
    name = sql.Identifier(table)
    seed = sql.SQL("""
        INSERT INTO {} (provider_item_id, title, studios, updated_at)
        VALUES
            ('1', 'Two', ARRAY['Warner', 'A24'], {old}),
            ('2', 'Null inside', ARRAY['Toho', NULL], {old}),
            ('3', 'Only null', ARRAY[NULL]::text[], {old}),
            ('4', 'Twice and quoted', ARRAY['"Q"', '"Q"', ''], {old}),
            ('5', 'Empty', '{{}}', {old}),
            ('6', 'Unknown', NULL, {old})
    """).format(name, old=OLD)
    conn.execute(seed)
    apply_step(conn, "0048_studio_jsonb.sql")
    found = conn.execute(sql.SQL("SELECT title, studios FROM {}").format(name)).fetchall()
    assert dict(found) == {
        "Two": [{"name": "Warner"}, {"name": "A24"}],
        "Null inside": [{"name": "Toho"}, {"name": None}],
        "Only null": [{"name": None}],
        "Twice and quoted": [{"name": '"Q"'}, {"name": '"Q"'}, {"name": ""}],
        "Empty": [],
        "Unknown": [],
    }
    assert touched(conn, table, "provider_item_id") == ["1", "2", "3", "4"]


def test_0050_symlinks_are_chosen_anew(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0050_ai_recs_output_config.sql")
    conn.execute("""
        DELETE FROM system_settings;
        INSERT INTO system_settings (key, value) VALUES ('user_recs_use_symlinks', 'true');
    """)
    apply_step(conn, "0050_ai_recs_output_config.sql")
    assert settings(conn) == {
        "ai_recs_movies_use_symlinks": "false",
        "ai_recs_series_use_symlinks": "true",
    }


def test_0050_keeps_settings_that_are_there(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0050_ai_recs_output_config.sql")
    conn.execute("""
        DELETE FROM system_settings;
        INSERT INTO system_settings (key, value)
        VALUES ('ai_recs_movies_use_symlinks', 'true'), ('ai_recs_series_use_symlinks', 'false');
    """)
    before = settings(conn)
    apply_step(conn, "0050_ai_recs_output_config.sql")
    assert settings(conn) == before


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, True), (None, None)])
def test_0050_top_picks_of_series_use_symlinks(
    database_before: DatabaseBefore,
    apply_step: ApplyStep,
    before: bool | None,
    after: bool | None,
) -> None:
    conn = database_before("0050_ai_recs_output_config.sql")
    conn.execute("UPDATE top_picks_config SET series_use_symlinks = %s", (before,))
    apply_step(conn, "0050_ai_recs_output_config.sql")
    query: LiteralString = "SELECT movies_use_symlinks, series_use_symlinks FROM top_picks_config"
    assert rows(conn, query) == [(False, after)]


def test_0051_renames_two_jobs(database_before: DatabaseBefore, apply_step: ApplyStep) -> None:
    conn = database_before("0051_rename_strm_jobs.sql")
    conn.execute("""
        DELETE FROM job_config;
        INSERT INTO job_config (job_name, schedule_hour, updated_at)
        VALUES ('sync-strm', 7, '2020-01-01 00:00:00+00'),
               ('sync-series-strm', 8, '2020-01-01 00:00:00+00'),
               ('sync-movies', 9, '2020-01-01 00:00:00+00');
        INSERT INTO job_runs (job_name, status, started_at, completed_at, duration_ms)
        SELECT job_name, 'completed', now(), now(), n
        FROM unnest(ARRAY['sync-strm', 'sync-series-strm', 'sync-movies'])
            WITH ORDINALITY AS job (job_name, n);
    """)
    apply_step(conn, "0051_rename_strm_jobs.sql")
    query: LiteralString = "SELECT job_name, schedule_hour FROM job_config ORDER BY schedule_hour"
    assert rows(conn, query) == [
        ("sync-movie-libraries", 7),
        ("sync-series-libraries", 8),
        ("sync-movies", 9),
    ]
    assert touched(conn, "job_config", "schedule_hour") == [7, 8]
    assert rows(conn, "SELECT job_name FROM job_runs ORDER BY duration_ms") == [
        ("sync-movie-libraries",),
        ("sync-series-libraries",),
        ("sync-movies",),
    ]


def test_0051_fails_where_a_new_name_is_taken(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0051_rename_strm_jobs.sql")
    conn.execute("INSERT INTO job_config (job_name) VALUES ('sync-movie-libraries')")
    with pytest.raises(errors.UniqueViolation):
        apply_step(conn, "0051_rename_strm_jobs.sql")


def test_0052_adds_title_templates_that_are_missing(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    name = "0052_series_evidence_and_titles.sql"
    conn = database_before(name)
    conn.execute("DELETE FROM system_settings")
    apply_step(conn, name)
    assert settings(conn) == {
        "ai_library_movies_title_template": "{{username}}'s AI Picks - Movies",
        "ai_library_series_title_template": "{{username}}'s AI Picks - TV Series",
    }


def test_0052_keeps_title_templates_that_are_there(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before("0052_series_evidence_and_titles.sql")
    conn.execute("""
        DELETE FROM system_settings;
        INSERT INTO system_settings (key, value)
        VALUES ('ai_library_movies_title_template', 'Films'),
               ('ai_library_series_title_template', 'Shows');
    """)
    before = settings(conn)
    apply_step(conn, "0052_series_evidence_and_titles.sql")
    assert settings(conn) == before


SEARCH = "0060_fuzzy_search.sql"

# Both rows hold the same words in the same parts; a film's collection is a series' network.
# The title ends in a stop word, behind which the next part goes on counting; stop words inside
# a part (the "of" of the genres, the "He" of the overview) take a position.
RICH_ROW: LiteralString = """
    INSERT INTO {} (provider_item_id, title, original_title, {}, genres, keywords, directors,
        writers, actors, overview, updated_at)
    VALUES ('rich', 'Running Man, The', 'Der Lauf', 'Lauf Studios', ARRAY['Art of War', 'Drama'],
        ARRAY['game show', NULL, 'man'], ARRAY['Jane Doe'], ARRAY['John Roe', 'Jane Doe'],
        '[{{"name": "Ann Lee", "role": "Host"}}, {{"role": "Guard"}}, {{"name": null}}, "Extra",
          {{"name": "Bo Kim"}}]',
        'He runs.', '2020-01-01 00:00:00+00')
"""
RICH_VECTOR = """
    'run':1A,25 'man':2A,13B 'der':3A 'lauf':4A,5B 'studio':6B 'art':7B 'war':9B 'drama':10B
    'game':11B 'show':12B 'jane':14C,18C 'doe':15C,19C 'john':16C 'roe':17C 'ann':20C 'lee':21C
    'bo':22C 'kim':23C
"""
POOR_ROW: LiteralString = """
    INSERT INTO {} (provider_item_id, title, genres, keywords, directors, writers, actors,
        updated_at)
    VALUES ('poor', 'Aliens', NULL, NULL, NULL, NULL, NULL, '2020-01-01 00:00:00+00')
"""
POOR_VECTOR = "'alien':1A"

LIBRARY_TABLES = pytest.mark.parametrize(
    ("table", "brand"), [("movies", "collection_name"), ("series", "network")]
)


def insert_searchable(conn: Connection, table: str, brand: str) -> None:
    conn.execute(sql.SQL(RICH_ROW).format(sql.Identifier(table), sql.Identifier(brand)))
    conn.execute(sql.SQL(POOR_ROW).format(sql.Identifier(table)))


def search_vectors(conn: Connection, table: str) -> dict[str, str]:
    query = sql.SQL("SELECT provider_item_id, search_vector::text FROM {}")
    return dict(conn.execute(query.format(sql.Identifier(table))).fetchall())


def as_printed(conn: Connection, vector: str) -> str:
    """The server's own way to order and space a tsvector that was written by hand."""
    (printed,) = conn.execute("SELECT %s::tsvector::text", (vector,)).fetchone() or ("",)
    return str(printed)


@LIBRARY_TABLES
def test_0060_fills_the_search_vectors(
    database_before: DatabaseBefore, apply_step: ApplyStep, table: str, brand: str
) -> None:
    conn = database_before(SEARCH)
    insert_searchable(conn, table, brand)
    apply_step(conn, SEARCH)
    assert search_vectors(conn, table) == {
        "rich": as_printed(conn, RICH_VECTOR),
        "poor": as_printed(conn, POOR_VECTOR),
    }
    assert touched(conn, table, "provider_item_id") == ["poor", "rich"]


@LIBRARY_TABLES
def test_0060_keeps_the_search_vectors_current(
    database_before: DatabaseBefore, apply_step: ApplyStep, table: str, brand: str
) -> None:
    conn = database_before(SEARCH)
    apply_step(conn, SEARCH)
    insert_searchable(conn, table, brand)
    assert search_vectors(conn, table) == {
        "rich": as_printed(conn, RICH_VECTOR),
        "poor": as_printed(conn, POOR_VECTOR),
    }
    update = sql.SQL("""
        UPDATE {} SET title = 'Ghosts', actors = '[]', search_vector = 'ignored:1'
        WHERE provider_item_id = 'poor'
    """)
    conn.execute(update.format(sql.Identifier(table)))
    assert search_vectors(conn, table)["poor"] == "'ghost':1A"


def test_0060_vector_functions_take_null_as_empty(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before(SEARCH)
    apply_step(conn, SEARCH)
    query: LiteralString = """
        SELECT movies_search_vector(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::text,
            series_search_vector(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::text
    """
    assert rows(conn, query) == [("", "")]


def test_0060_functions_and_triggers_may_be_there(
    database_before: DatabaseBefore, apply_step: ApplyStep
) -> None:
    conn = database_before(SEARCH)
    conn.execute("""
        CREATE FUNCTION update_movies_search_vector() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER trigger_movies_search_vector
            BEFORE UPDATE ON movies
            FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
    """)
    apply_step(conn, SEARCH)
    conn.execute(MOVIE)
    assert search_vectors(conn, "movies") == {"m1": "'alien':1A"}


@pytest.mark.parametrize("actors", ["null", "{}", '"Ann Lee"', "7"])
@pytest.mark.parametrize("table", ["movies", "series"])
def test_0060_refuses_actors_that_are_no_array(
    database_before: DatabaseBefore, apply_step: ApplyStep, table: str, actors: str
) -> None:
    conn = database_before(SEARCH)
    insert = sql.SQL(
        "INSERT INTO {} (provider_item_id, title, actors) VALUES ('x', 'Alien', {})"
    ).format(sql.Identifier(table), actors)
    with conn.transaction(force_rollback=True):
        conn.execute(insert)
        with pytest.raises(errors.InvalidParameterValue):
            apply_step(conn, SEARCH)
    apply_step(conn, SEARCH)
    with pytest.raises(errors.InvalidParameterValue):
        conn.execute(insert)


@pytest.mark.parametrize(
    "name",
    [
        "0001_init.sql",
        "0025_user_parental_rating.sql",
        "0044_top_picks_config.sql",
        "0059_enriched_metadata.sql",
    ],
)
def test_guarded_files_can_run_again(
    database_before: DatabaseBefore, apply_step: ApplyStep, name: str
) -> None:
    conn = database_before(name)
    apply_step(conn, name)
    conn.execute((MIGRATIONS / name).read_bytes())


@pytest.mark.parametrize(
    "name",
    [
        "0015_library_config.sql",
        "0023_embedding_model_setting.sql",
        "0026_job_config.sql",
        "0041_job_runs.sql",
        "0058_assistant_suggestions.sql",
    ],
)
def test_files_that_guard_only_their_table_cannot_run_again(
    database_before: DatabaseBefore, apply_step: ApplyStep, name: str
) -> None:
    conn = database_before(name)
    apply_step(conn, name)
    with pytest.raises(
        psycopg.ProgrammingError, match=r'^(relation "idx_|trigger ).* already exists'
    ):
        conn.execute((MIGRATIONS / name).read_bytes())
