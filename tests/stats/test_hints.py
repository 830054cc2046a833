"""Each hint from the rows that call for it, and nothing where there is nothing to say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from aperture_db.stats.collect import collect
from aperture_db.stats.report import Coverage, Hint, StatsReport, Subject
from tests.stats.conftest import Open, OpenPlain
from tests.stats.rows import (
    SYNCED_AT,
    Connection,
    add_job_run,
    add_library,
    add_movies,
    add_series,
    add_users,
    embed,
    set_setting,
    use_model,
)

LARGE = "openai:text-embedding-3-large"


@pytest.fixture
def conninfo(aperture_database: Callable[[], str]) -> str:
    return aperture_database()


@pytest.fixture
def admin(conninfo: str, writer: OpenPlain) -> Connection:
    """A library of 300 films, 10 series, 40 episodes and 5 users, with nothing missing."""
    conn = writer(conninfo)
    add_movies(conn, 300)
    add_series(conn, 10, episodes=4)
    add_users(conn, 5)
    add_job_run(conn, "sync-movies", 300)
    add_job_run(conn, "sync-series", 40, totalSeries=10, totalEpisodes=40)
    add_job_run(conn, "sync-users", 5)
    use_model(conn, "openai", "text-embedding-3-large")
    embed(conn, "movies", "embeddings_3072", LARGE, 3072)
    embed(conn, "series", "series_embeddings_3072", LARGE, 3072)
    embed(conn, "episodes", "episode_embeddings_3072", LARGE, 3072)
    return conn


@pytest.fixture
def report(conninfo: str, reader: Open) -> Callable[[], StatsReport]:
    conn = reader(conninfo)
    return lambda: collect(conn)


def only_hint(report: StatsReport) -> Hint:
    [hint] = report.hints
    return hint


def covered(report: StatsReport, subject: Subject) -> Coverage:
    return next(item for item in report.coverage if item.subject is subject)


Report = Callable[[], StatsReport]


@pytest.mark.usefixtures("admin")
def test_nothing_missing(report: Report) -> None:
    assert report().hints == ()
    assert all(item.missing == 0 and item.unknown is None for item in report().coverage)
    assert covered(report(), Subject.MOVIES).as_of == SYNCED_AT


def test_fewer_movies_than_the_library(admin: Connection, report: Report) -> None:
    add_job_run(admin, "sync-movies", 400, at=SYNCED_AT + timedelta(hours=3))
    hint = only_hint(report())
    assert hint.id == "movies_missing"
    assert hint.is_finding
    assert hint.message == "100 of 400 movies are missing"
    assert "counts as completed" in hint.cause
    assert hint.next == "in Aperture, run sync-movies and read its log"


def test_small_difference_is_normal(admin: Connection, report: Report) -> None:
    add_job_run(admin, "sync-movies", 303, at=SYNCED_AT + timedelta(hours=3))
    hint = only_hint(report())
    assert hint.id == "movies_missing"
    assert not hint.is_finding
    assert "same title and year" in hint.cause
    add_job_run(admin, "sync-movies", status="failed", at=SYNCED_AT + timedelta(hours=6))
    hint = only_hint(report())
    assert hint.is_finding
    assert hint.cause == "the newest run of sync-movies failed"


def test_more_movies_than_reported_is_fine(admin: Connection, report: Report) -> None:
    add_job_run(admin, "sync-movies", 250, at=SYNCED_AT + timedelta(hours=3))
    assert report().hints == ()


def test_only_completed_syncs_count(admin: Connection, report: Report) -> None:
    add_job_run(admin, "sync-movies", 900, status="cancelled", at=SYNCED_AT + timedelta(hours=3))
    assert report().hints == ()


def test_films_of_other_libraries_do_not_make_up_for_missing_ones(
    admin: Connection, report: Report
) -> None:
    admin.execute("UPDATE movies SET provider_library_id = 'films'")
    admin.execute("UPDATE series SET provider_library_id = 'shows'")
    add_library(admin, "films", "movies", enabled=True)
    add_library(admin, "old", "movies", enabled=False)
    add_library(admin, "shows", "tvshows", enabled=True)
    assert report().hints == ()
    admin.execute(
        "UPDATE movies SET provider_library_id = 'old' WHERE id IN (SELECT id FROM movies LIMIT 50)"
    )
    now = report()
    assert only_hint(now).message == "50 of 300 movies are missing"
    assert now.overview.movies.rows == 300
    assert now.overview.movies_in_libraries.rows == 250


def test_what_was_reported_before_libraries_were_switched_off_is_no_measure(
    admin: Connection, report: Report
) -> None:
    admin.execute("UPDATE movies SET provider_library_id = 'films'")
    admin.execute("UPDATE series SET provider_library_id = 'shows'")
    add_library(admin, "films", "movies", enabled=True)
    add_library(admin, "shows", "tvshows", enabled=True)
    admin.execute("UPDATE library_config SET is_enabled = false WHERE name = 'films'")
    now = report()
    assert now.hints == ()
    movies = covered(now, Subject.MOVIES)
    assert (movies.present, movies.expected) == (0, None)
    assert movies.unknown == "the libraries were changed since the last sync"
    assert covered(now, Subject.SERIES).expected == 10


def test_fewer_series_and_episodes(admin: Connection, report: Report) -> None:
    later = SYNCED_AT + timedelta(hours=3)
    add_job_run(admin, "sync-series", 60, at=later, totalSeries=11, totalEpisodes=60)
    series, episodes = report().hints
    assert series.id == "series_missing"
    assert series.message == "1 of 11 series are missing"
    assert episodes.id == "episodes_missing"
    assert episodes.message == "20 of 60 episodes are missing"


def test_series_sync_without_details(admin: Connection, report: Report) -> None:
    add_job_run(admin, "sync-series", 40, at=SYNCED_AT + timedelta(hours=3))
    now = report()
    assert now.hints == ()
    assert covered(now, Subject.SERIES).unknown == "not reported by sync-series"
    assert covered(now, Subject.EPISODES).expected == 40


def test_fewer_users_than_the_media_server(admin: Connection, report: Report) -> None:
    add_job_run(admin, "sync-users", 7, at=SYNCED_AT + timedelta(hours=1))
    hint = only_hint(report())
    assert hint.id == "users_missing"
    assert hint.is_finding
    assert hint.message == "2 of 7 users are missing"
    assert hint.next == "in Aperture, run sync-users and read its log"


def test_users_of_another_media_server_do_not_count(admin: Connection, report: Report) -> None:
    add_users(admin, 5, "jellyfin")
    assert covered(report(), Subject.USERS).unknown is not None
    assert report().hints == ()
    set_setting(admin, "media_server_type", "jellyfin")
    assert report().hints == ()
    admin.execute("DELETE FROM users WHERE provider = 'jellyfin' AND username = 'user 1'")
    assert only_hint(report()).message == "1 of 5 users are missing"


def test_never_synced(conninfo: str, report: Report) -> None:
    assert conninfo
    hint = only_hint(report())
    assert hint.id == "never_synced"
    assert hint.is_finding
    assert hint.message == "nothing has been synced from the media server yet"
    assert hint.next == "in Aperture, run sync-users, sync-movies and sync-series"
    assert covered(report(), Subject.MOVIES).expected is None


def test_history_of_jobs_lost(admin: Connection, report: Report) -> None:
    """What is not known stays unknown: the films are there, and no run says how many there are."""
    admin.execute("DELETE FROM job_runs WHERE job_name = 'sync-movies'")
    hint = only_hint(report())
    assert hint.id == "never_synced"
    assert not hint.is_finding
    assert hint.next == "in Aperture, run sync-movies"
    coverage = covered(report(), Subject.MOVIES)
    assert coverage.unknown == "no completed run of sync-movies"


def test_nothing_found(conninfo: str, writer: OpenPlain, report: Report) -> None:
    conn = writer(conninfo)
    add_job_run(conn, "sync-movies", 0)
    add_job_run(conn, "sync-series", 0, totalSeries=0, totalEpisodes=0)
    add_job_run(conn, "sync-users", 0)
    hint = only_hint(report())
    assert hint.id == "nothing_found"
    assert "enable libraries" in hint.next


def test_fewer_embeddings_than_movies(admin: Connection, report: Report) -> None:
    admin.execute(
        "DELETE FROM embeddings_3072 WHERE id IN (SELECT id FROM embeddings_3072 LIMIT 30)"
    )
    hint = only_hint(report())
    assert hint.id == "movie_embeddings_pending"
    assert hint.is_finding
    assert hint.message == "30 of 300 movies have no embedding of the active model"
    assert hint.cause == "generate-movie-embeddings has not reached them yet"
    assert hint.next == (
        "in Aperture, run generate-movie-embeddings; the provider may charge for it"
    )
    add_job_run(admin, "generate-movie-embeddings", status="failed")
    assert only_hint(report()).cause == "the newest run of generate-movie-embeddings failed"


def test_model_was_changed(admin: Connection, report: Report) -> None:
    use_model(admin, "ollama", "nomic-embed-text")
    movies, series, episodes, stale = report().hints
    assert [hint.id for hint in (movies, series, episodes, stale)] == [
        "movie_embeddings_pending",
        "series_embeddings_pending",
        "episode_embeddings_pending",
        "stale_embeddings",
    ]
    assert movies.cause == "the model was changed, and embeddings of another model can't be used"
    assert movies.next == "in Aperture, run generate-movie-embeddings"
    assert series.next == episodes.next == "in Aperture, run generate-series-embeddings"
    assert stale.message == "350 embeddings are stale"
    assert stale.next == "aperture-db clean --apply stale-embeddings"


def test_model_that_aperture_can_not_use(admin: Connection, report: Report) -> None:
    use_model(admin, "huggingface", "bge-small")
    movies, *_ = report().hints
    assert movies.cause == (
        "Aperture 0.7.8 does not know the dimensions of huggingface:bge-small: "
        "generate-movie-embeddings fails"
    )
    assert movies.next == "choose another embedding model in Aperture's AI settings"


def test_no_model(admin: Connection, report: Report) -> None:
    admin.execute("DELETE FROM system_settings WHERE key = 'ai_config'")
    hint = only_hint(report())
    assert hint.id == "embedding_model_missing"
    assert hint.is_finding


def test_legacy_embeddings(admin: Connection, report: Report) -> None:
    embed(admin, "movies", "embeddings_legacy", LARGE, 3072)
    hint = only_hint(report())
    assert hint.id == "legacy_embeddings"
    assert hint.message == "300 embeddings are in *_legacy tables"
    assert hint.next == "aperture-db clean --apply legacy-embeddings"
    admin.execute("DROP TABLE embeddings_legacy, series_embeddings_legacy")
    assert report().hints == ()


@pytest.mark.parametrize("version", ["0010", "0040", "0041"])
def test_versions_that_can_not_tell(
    version: str, database_at: Callable[[str], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = database_at(version)
    writer(conninfo).execute("INSERT INTO movies (provider_item_id, title) VALUES ('1', 'film')")
    report = collect(reader(conninfo))
    movies = covered(report, Subject.MOVIES)
    assert (movies.present, movies.expected) == (1, None)
    expected = {"0041": ["never_synced", "movie_embeddings_pending"]}
    assert [hint.id for hint in report.hints] == expected.get(
        version, ["movie_embeddings_pending"] if version == "0040" else []
    )


def test_tables_that_the_recorded_migrations_make_are_missing(
    admin: Connection, report: Report
) -> None:
    admin.execute("DROP TABLE user_ratings, embeddings_legacy")
    [hint] = [each for each in report().hints if each.id == "tables_missing"]
    assert hint.message == "1 table of Aperture is missing: user_ratings"
