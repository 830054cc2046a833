"""Which embeddings are there, and which of them Aperture uses."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from aperture_db.aperture import ActiveModel, Media
from aperture_db.aperture.schema import configured_model
from aperture_db.stats.collect import collect
from aperture_db.stats.report import Count, Coverage, EmbeddingState, StatsReport, Subject
from tests.stats.conftest import Open, OpenPlain
from tests.stats.rows import (
    add_library,
    add_movies,
    add_series,
    embed,
    set_setting,
    use_model,
)

LARGE = "openai:text-embedding-3-large"


def sets(report: StatsReport) -> list[tuple[str, int | None, str | None, int | None, str]]:
    return [
        (item.media, item.dimension, item.model, item.count.rows, item.state)
        for item in report.embeddings.sets
    ]


def covered(report: StatsReport, subject: Subject) -> Coverage:
    return next(item for item in report.coverage if item.subject is subject)


def test_by_kind_dimension_and_model(
    aperture_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = aperture_database()
    admin = writer(conninfo)
    add_movies(admin, 5)
    add_series(admin, 2, episodes=3)
    use_model(admin, "ollama", "nomic-embed-text")
    embed(admin, "movies", "embeddings_768", "ollama:nomic-embed-text", 768, limit=4)
    embed(admin, "movies", "embeddings_768", "nomic-embed-text", 768, limit=1)
    embed(admin, "movies", "embeddings_3072", LARGE, 3072)
    embed(admin, "movies", "embeddings_legacy", LARGE, 3072, limit=2)
    # The right model where Aperture does not look.
    embed(admin, "series", "series_embeddings_1024", "ollama:nomic-embed-text", 1024)
    embed(admin, "episodes", "episode_embeddings_768", "ollama:nomic-embed-text", 768, limit=6)
    report = collect(reader(conninfo))
    assert report.embeddings.active_model == "ollama:nomic-embed-text"
    assert report.embeddings.active_dimension == 768
    assert sets(report) == [
        ("movie", 768, "ollama:nomic-embed-text", 4, "active"),
        ("movie", 768, "nomic-embed-text", 1, "stale"),
        ("movie", 3072, LARGE, 5, "stale"),
        ("movie", 3072, LARGE, 2, "legacy"),
        ("series", 1024, "ollama:nomic-embed-text", 2, "stale"),
        ("episode", 768, "ollama:nomic-embed-text", 6, "active"),
    ]
    assert report.overview.embeddings == Count(20)
    assert report.embeddings.rows_in(EmbeddingState.STALE) == 8
    movies = covered(report, Subject.MOVIE_EMBEDDINGS)
    assert (movies.present, movies.expected, movies.missing) == (4, 5, 1)
    assert covered(report, Subject.SERIES_EMBEDDINGS).missing == 2
    assert covered(report, Subject.EPISODE_EMBEDDINGS).missing == 0


@pytest.mark.parametrize("version", ["0041", "0076", "0077"])
def test_before_the_tables_were_divided(
    version: str, database_at: Callable[[str], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = database_at(version)
    admin = writer(conninfo)
    add_movies(admin, 3)
    embed(admin, "movies", "embeddings", "text-embedding-3-large", 3072)
    embed(admin, "movies", "embeddings", "text-embedding-ada-002", 3072, limit=1)
    report = collect(reader(conninfo))
    assert report.embeddings.active_model == "text-embedding-3-large"
    assert sets(report) == [
        ("movie", 3072, "text-embedding-3-large", 3, "active"),
        ("movie", 3072, "text-embedding-ada-002", 1, "stale"),
    ]
    assert covered(report, Subject.MOVIE_EMBEDDINGS).missing == 0
    use_model(admin, "openai", "text-embedding-3-large")
    embed(admin, "movies", "embeddings", LARGE, 3072)
    report = collect(reader(conninfo))
    assert report.embeddings.active_model == LARGE
    assert report.embeddings.rows_in(EmbeddingState.ACTIVE) == 6
    assert covered(report, Subject.MOVIE_EMBEDDINGS).present == 3


def test_before_there_was_a_setting(
    database_at: Callable[[str], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = database_at("0010")
    admin = writer(conninfo)
    admin.execute("INSERT INTO movies (provider_item_id, title) VALUES ('1', 'film')")
    admin.execute(
        "INSERT INTO embeddings (movie_id, model, embedding) "
        "SELECT id, 'text-embedding-3-small', array_fill(0.5::real, ARRAY[1536])::vector "
        "FROM movies"
    )
    report = collect(reader(conninfo))
    assert report.embeddings.active_model is None
    assert not report.embeddings.is_model_missing
    assert sets(report) == [("movie", 1536, "text-embedding-3-small", 1, "unknown")]


def test_model_of_ones_own(
    aperture_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = aperture_database()
    admin = writer(conninfo)
    add_movies(admin, 2)
    use_model(admin, "openai-compatible", "bge-small")
    embed(admin, "movies", "embeddings_384", "openai-compatible:bge-small", 384, limit=1)
    unknown = collect(reader(conninfo))
    assert unknown.embeddings.active_dimension is None
    assert covered(unknown, Subject.MOVIE_EMBEDDINGS).present == 1
    admin.execute(
        "INSERT INTO custom_ai_models (provider, function_type, model_id, embedding_dimensions) "
        "VALUES ('openai-compatible', 'embeddings', 'bge-small', 512)"
    )
    known = collect(reader(conninfo))
    assert known.embeddings.active_dimension == 512
    assert sets(known) == [("movie", 384, "openai-compatible:bge-small", 1, "stale")]
    assert covered(known, Subject.MOVIE_EMBEDDINGS).present == 0


def test_dimension_without_a_table(
    aperture_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = aperture_database()
    admin = writer(conninfo)
    add_movies(admin, 2)
    use_model(admin, "ollama", "odd")
    admin.execute(
        "INSERT INTO custom_ai_models (provider, function_type, model_id, embedding_dimensions) "
        "VALUES ('ollama', 'embeddings', 'odd', 333)"
    )
    coverage = covered(collect(reader(conninfo)), Subject.MOVIE_EMBEDDINGS)
    assert coverage.present is None
    assert coverage.unknown == "there is no table for 333 dimensions"


def test_only_films_of_enabled_libraries_need_embeddings(
    aperture_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = aperture_database()
    admin = writer(conninfo)
    use_model(admin, "openai", "text-embedding-3-large")
    add_movies(admin, 4, "films")
    add_movies(admin, 3, "old films")
    add_movies(admin, 2)
    add_series(admin, 2, library="shows")
    add_series(admin, 1, library="old shows")

    def expected(subject: Subject) -> int | None:
        return covered(collect(reader(conninfo)), subject).expected

    assert expected(Subject.MOVIE_EMBEDDINGS) == 9
    assert expected(Subject.SERIES_EMBEDDINGS) == 3
    add_library(admin, "films", "movies", enabled=True)
    add_library(admin, "old films", "movies", enabled=False)
    add_library(admin, "shows", "tvshows", enabled=False)
    assert expected(Subject.MOVIE_EMBEDDINGS) == 4
    assert expected(Subject.SERIES_EMBEDDINGS) == 3
    admin.execute("UPDATE library_config SET is_enabled = true WHERE name = 'shows'")
    assert expected(Subject.SERIES_EMBEDDINGS) == 2


OPENAI_KEY = {"openai_api_key": "sk-secret"}
CONFIG_WITHOUT_EMBEDDINGS = json.dumps({"embeddings": None, "chat": {"provider": "openai"}})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"embedding_model": "m"}, None),
        (OPENAI_KEY, ActiveModel("openai", "text-embedding-3-large")),
        (OPENAI_KEY | {"embedding_model": "m"}, ActiveModel("openai", "m")),
        (OPENAI_KEY | {"ai_config": "not json"}, ActiveModel("openai", "text-embedding-3-large")),
        (OPENAI_KEY | {"ai_config": CONFIG_WITHOUT_EMBEDDINGS}, None),
        (
            {"ai_config": '{"embeddings": {"provider": "google", "model": "g"}}'},
            ActiveModel("google", "g"),
        ),
        ({"ai_config": '{"embeddings": {"provider": "google"}}'}, None),
        ({"ai_config": "[]"}, None),
    ],
)
def test_configured_model(settings: dict[str, str], expected: ActiveModel | None) -> None:
    assert configured_model(settings, is_undivided=False) == expected


def test_configured_model_before_ai_config() -> None:
    settings = {"embedding_model": "text-embedding-3-small"}
    active = configured_model(settings, is_undivided=True)
    assert active == ActiveModel(None, "text-embedding-3-small")
    assert active.id == "text-embedding-3-small"


def test_every_media_has_an_embedding_table(
    aperture_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = aperture_database()
    set_setting(writer(conninfo), "ai_config", "")
    from aperture_db.aperture import read_embedding_tables

    tables = read_embedding_tables(reader(conninfo))
    assert len(tables) == 27
    for media in Media:
        own = [table for table in tables if table.media is media]
        assert [table.dimension for table in own] == [
            256, 384, 512, 768, 1024, 1536, 3072, 4096, 3072,
        ]  # fmt: skip
        assert [table.is_legacy for table in own] == [False] * 8 + [True]
