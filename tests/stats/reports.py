"""Hand-made reports for the texts that are kept as snapshots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aperture_db.aperture import Group, Media
from aperture_db.stats.history import History, Sample, measure_growth
from aperture_db.stats.report import (
    Count,
    Coverage,
    DatabaseFacts,
    Embeddings,
    EmbeddingSet,
    EmbeddingState,
    Hint,
    Overview,
    StatsReport,
    Storage,
    Subject,
    TablesReport,
    TableStats,
    TableTotals,
    Unknown,
    unknown_count,
)

MB = 1024 * 1024
READ_AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
SYNCED_AT = READ_AT - timedelta(minutes=30)
NOMIC = "ollama:nomic-embed-text"

FACTS = DatabaseFacts(
    name="aperture",
    role="aperture",
    server_version="16.10",
    is_standby=False,
    read_at=READ_AT,
    is_aperture=True,
    migrations_applied=114,
    newest_migration="0114_watch_history_playback_progress.sql",
)
OVERVIEW = Overview(
    movies=Count(19_640),
    movies_in_libraries=Count(19_200),
    series=Count(1_000),
    series_in_libraries=Count(1_000),
    episodes=Count(60_000),
    users=Count(12),
    users_enabled=Count(9),
    embeddings=Count(92_000),
    ratings=Count(3_410),
    watch_history=Count(280_000),
    recommendations=Count(450),
    recommendation_candidates=Count(116_000),
    recommendation_runs=Count(1_248),
    taste_profiles=Count(18),
    conversations=Count(7),
    messages=Count(58),
)
STORAGE = Storage(
    database_bytes=1_420 * MB,
    table_bytes=650 * MB,
    index_bytes=760 * MB,
    embeddings_bytes=1_010 * MB,
    embeddings_heap_bytes=190 * MB,
    embeddings_toast_bytes=240 * MB,
    embeddings_vector_index_bytes=560 * MB,
    embeddings_other_index_bytes=20 * MB,
    group_bytes={"embeddings": 1_010 * MB, "watch data": 200 * MB},
)


def embedding_set(
    media: Media, dimension: int, model: str | None, rows: int, state: EmbeddingState
) -> EmbeddingSet:
    return EmbeddingSet(media, dimension, model, f"{media}_{dimension}", Count(rows), state)


EMBEDDINGS = Embeddings(
    active_model=NOMIC,
    active_dimension=768,
    is_model_missing=False,
    sets=(
        embedding_set(Media.MOVIE, 768, NOMIC, 19_000, EmbeddingState.ACTIVE),
        embedding_set(
            Media.MOVIE, 3072, "openai:text-embedding-3-large", 8_000, EmbeddingState.STALE
        ),
        embedding_set(Media.MOVIE, 3072, "text-embedding-3-large", 4_000, EmbeddingState.LEGACY),
        embedding_set(Media.SERIES, 768, NOMIC, 1_000, EmbeddingState.ACTIVE),
        embedding_set(Media.EPISODE, 768, NOMIC, 60_000, EmbeddingState.ACTIVE),
    ),
)
COVERAGE = (
    Coverage(Subject.MOVIES, 19_200, 20_000, SYNCED_AT, None),
    Coverage(Subject.SERIES, 1_000, 1_000, SYNCED_AT, None),
    Coverage(Subject.EPISODES, 60_000, None, None, "not reported by sync-series"),
    Coverage(Subject.USERS, 12, None, None, "no completed run of sync-users"),
    Coverage(Subject.MOVIE_EMBEDDINGS, 19_000, 19_200, None, None),
    Coverage(Subject.SERIES_EMBEDDINGS, 1_000, 1_000, None, None),
    Coverage(Subject.EPISODE_EMBEDDINGS, 60_000, 60_000, None, None),
)
HINTS = (
    Hint(
        "movies_missing",
        True,
        "800 of 20,000 movies are not here",
        "items that could not be stored are only logged; the run still counts as completed",
        "in Aperture, run sync-movies and read its log",
    ),
    Hint(
        "never_synced",
        False,
        "it is unknown if the library is complete",
        "no completed run of sync-users is recorded",
        "in Aperture, run sync-users",
    ),
    Hint(
        "no_privilege",
        True,
        "12 tables can't be read",
        "role reporter has no SELECT on movies, series, users and 9 more",
        'as the owner or a superuser run: GRANT SELECT ON ALL TABLES IN SCHEMA "public" TO '
        '"reporter";',
    ),
)
FULL = StatsReport(FACTS, OVERVIEW, STORAGE, EMBEDDINGS, COVERAGE, HINTS, is_exact=True)


def table(
    name: str, rows: Count, sizes: tuple[int, int, int], dead: int | None, group: Group | None
) -> TableStats:
    heap, index, toast = sizes
    return TableStats("public", name, group, rows, heap, index, toast, sum(sizes), dead)


TABLES = TablesReport(
    database=FACTS,
    tables=(
        table(
            "episode_embeddings_768",
            Count(60_000),
            (120 * MB, 480 * MB, 8192),
            1_204,
            Group.EMBEDDINGS,
        ),
        table(
            "recommendation_candidates",
            Count(116_240, exact=False),
            (31 * MB, 12 * MB, 0),
            0,
            Group.RECOMMENDATIONS,
        ),
        table("similarity_validation_cache", Count(0), (0, 49_152, 8192), 0, Group.CACHE),
        TableStats(
            "public",
            "movies",
            Group.CONTENT,
            unknown_count(Unknown.LOCKED),
            None,
            None,
            None,
            None,
            12,
        ),
        table(
            "sessions",
            unknown_count(Unknown.NO_PRIVILEGE),
            (8192, 49_152, 8192),
            None,
            Group.CONFIGURATION,
        ),
        table("spatial_ref_sys", Count(8_500), (7 * MB, 262_144, 8192), 0, None),
    ),
    total=TableTotals(
        6, Count(184_740, exact=False), False, 158 * MB, 492 * MB, 32_768, 650 * MB, 1_216
    ),
    hints=(
        Hint(
            "locked",
            True,
            "movies can't be read",
            "it is locked: pid 4711, psql, user aperture, idle in transaction, in its "
            "transaction for 45 s holds ACCESS EXCLUSIVE",
            "wait until it ends, then run again; or end it: SELECT pg_terminate_backend(4711);",
        ),
    ),
    is_exact=False,
)


def history() -> History:
    samples = [
        Sample(
            is_exact=day > 0,
            newest_migration="0114_watch_history_playback_progress.sql",
            database_bytes=(400 + day * 3) * MB,
            table_bytes=(200 + day) * MB,
            index_bytes=(200 + day * 2) * MB,
            counts={
                "movies": 1_000 + day * day,
                "movies_in_libraries": 1_000,
                "users": 5,
                "watch_history": 9_000 - day * 100,
            },
            group_bytes={"embeddings": (250 + day * 2) * MB, "watch data": (60 + day) * MB},
            sampled_at=READ_AT + timedelta(days=day),
        )
        for day in range(30)
    ]
    return History(tuple(samples), tuple(measure_growth(samples)))
