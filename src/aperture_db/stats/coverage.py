"""The completeness of the library and of its embeddings of the active model.

The expected counts are those that the media server reported to the newest completed sync.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.aperture import (
    COLLECTION_TYPES,
    MEDIA_TABLES,
    ActiveModel,
    EmbeddingTable,
    Media,
    kinds,
)
from aperture_db.postgres.session import Connection
from aperture_db.stats.counting import Counts, Inventory, row_source
from aperture_db.stats.report import (
    Count,
    Coverage,
    Embeddings,
    EmbeddingSet,
    EmbeddingState,
    Subject,
)

ModelCounts: TypeAlias = Mapping[str | None, Count]

STATS_JOBS = (
    kinds.SYNC_MOVIES,
    kinds.SYNC_SERIES,
    kinds.SYNC_USERS,
    kinds.GENERATE_MOVIE_EMBEDDINGS,
    kinds.GENERATE_SERIES_EMBEDDINGS,
)
EMBEDDING_SUBJECTS = {
    Media.MOVIE: Subject.MOVIE_EMBEDDINGS,
    Media.SERIES: Subject.SERIES_EMBEDDINGS,
    Media.EPISODE: Subject.EPISODE_EMBEDDINGS,
}
EMBEDDING_JOBS = {
    Media.MOVIE: kinds.GENERATE_MOVIE_EMBEDDINGS,
    Media.SERIES: kinds.GENERATE_SERIES_EMBEDDINGS,
    Media.EPISODE: kinds.GENERATE_SERIES_EMBEDDINGS,
}
LIBRARIES = {
    Subject.MOVIES: COLLECTION_TYPES[Media.MOVIE],
    Subject.SERIES: COLLECTION_TYPES[Media.SERIES],
    Subject.EPISODES: COLLECTION_TYPES[Media.SERIES],
}
"""The libraries whose titles a subject counts, by their collection type."""


@dataclass(frozen=True)
class JobResult:
    """The newest run of a job, and what its newest completed run reported."""

    job_name: str
    last_status: str | None
    """completed, failed or cancelled; None when there is no run."""
    completed_at: datetime | None
    items_total: int | None
    total_series: int | None
    """Only of sync-series, as total_episodes."""
    total_episodes: int | None


def read_job_results(conn: Connection) -> dict[str, JobResult]:
    """By name of the job. Needs SELECT on job_runs."""
    with conn.cursor(row_factory=class_row(JobResult)) as cursor:
        rows = cursor.execute(queries.compose("stats/job_results"), {"jobs": list(STATS_JOBS)})
        return {result.job_name: result for result in rows}


@dataclass(frozen=True)
class Reported:
    """A number that a job reported, or the reason why there is none."""

    total: int | None
    as_of: datetime | None
    unknown: str | None


def measure_coverage(
    inventory: Inventory,
    counts: Counts,
    results: Mapping[str, JobResult],
    active: ActiveModel | None,
) -> tuple[Coverage, ...]:
    """Present and expected counts; none of tables that this version does not have."""
    return (*_synced(inventory, counts, results), *_embedded(inventory, counts, active))


def forget_reports_on_other_libraries(
    conn: Connection, inventory: Inventory, coverage: Iterable[Coverage]
) -> tuple[Coverage, ...]:
    """Where something seems to be missing, leave out counts reported before the libraries were
    changed: a disabled library keeps its titles, which are no longer counted."""
    measured = tuple(coverage)
    doubtful = {item.subject for item in measured if item.missing and item.subject in LIBRARIES}
    if not doubtful or not inventory.has_columns("library_config", "collection_type", "updated_at"):
        return measured
    rows = conn.execute(queries.compose("stats/library_changes")).fetchall()
    changed_at: dict[str, datetime | None] = dict(rows)
    return tuple(
        replace(item, expected=None, unknown="the libraries were changed since the last sync")
        if item.subject in doubtful
        and item.as_of
        and (changed := changed_at.get(LIBRARIES[item.subject]))
        and changed > item.as_of
        else item
        for item in measured
    )


def _synced(
    inventory: Inventory, counts: Counts, results: Mapping[str, JobResult]
) -> Iterator[Coverage]:
    sources = {
        Subject.MOVIES: "movies_in_libraries",
        Subject.SERIES: "series_in_libraries",
        Subject.EPISODES: "episodes_in_libraries",
        Subject.USERS: "users_of_media_server",
    }
    for subject, source in sources.items():
        # These subjects are named as their tables.
        if subject not in inventory.visible:
            continue
        reported = _reported(subject, inventory, results)
        present = _present(counts.get(source, {}), subject)
        unknown = reported.unknown
        if present is None:
            unknown = (
                "there are users of several media servers, and no setting names the active one"
                if subject is Subject.USERS and source in counts
                else "the tables can't be read"
            )
        yield Coverage(subject, present, reported.total, reported.as_of, unknown)


def _present(count: Mapping[str | None, int], subject: Subject) -> int | None:
    if subject is Subject.USERS:
        return next((rows for provider, rows in count.items() if provider is not None), None)
    return count.get(None)


def _reported(subject: Subject, inventory: Inventory, results: Mapping[str, JobResult]) -> Reported:
    if "job_runs" not in inventory.visible:
        return Reported(None, None, "there is no job history")
    if "job_runs" not in inventory.readable:
        return Reported(None, None, "the job history can't be read")
    job_name = {Subject.MOVIES: kinds.SYNC_MOVIES, Subject.USERS: kinds.SYNC_USERS}.get(
        subject, kinds.SYNC_SERIES
    )
    result = results[job_name]
    if result.completed_at is None:
        return Reported(None, None, f"no completed run of {job_name}")
    total = result.items_total
    if subject is Subject.SERIES:
        total = result.total_series
    elif subject is Subject.EPISODES and result.total_episodes is not None:
        total = result.total_episodes
    unknown = None if total is not None else f"not reported by {job_name}"
    return Reported(total, result.completed_at, unknown)


def _embedded(
    inventory: Inventory, counts: Counts, active: ActiveModel | None
) -> Iterator[Coverage]:
    for media, subject in EMBEDDING_SUBJECTS.items():
        if MEDIA_TABLES[media] not in inventory.visible:
            continue
        expected = counts.get(f"to_embed:{media}", {}).get(None)
        present = counts.get(f"embedded:{media}", {}).get(None)
        unknown = None
        if active is None:
            unknown = "the active embedding model is unknown"
        elif expected is None:
            unknown = "the tables can't be read"
        elif present is None:
            unknown = f"there is no table for {active.dimension} dimensions"
        yield Coverage(subject, present, expected, None, unknown)


def list_embeddings(
    tables: Iterable[EmbeddingTable],
    counts: Mapping[int, Count],
    models: Mapping[int, ModelCounts],
    active: ActiveModel | None,
    *,
    settings_were_read: bool,
) -> Embeddings:
    """`counts` are the rows of whole tables, `models` their parts where known; both by oid."""
    sets = [
        item
        for table in tables
        for item in _sets_of(table, counts[table.oid], models.get(table.oid), active)
    ]
    return Embeddings(
        active_model=active.id if active else None,
        active_dimension=active.dimension if active else None,
        is_model_missing=active is None and settings_were_read,
        sets=tuple(sets),
    )


def _sets_of(
    table: EmbeddingTable, whole: Count, models: ModelCounts | None, active: ActiveModel | None
) -> Iterator[EmbeddingSet]:
    if whole.rows == 0:
        return
    parts = models or {None: whole}
    for model, count in sorted(parts.items(), key=lambda part: -(part[1].rows or 0)):
        yield EmbeddingSet(
            media=table.media,
            dimension=table.dimension,
            model=model,
            table=table.name,
            count=count,
            state=_state(table, model, active),
        )


def _state(table: EmbeddingTable, model: str | None, active: ActiveModel | None) -> EmbeddingState:
    if table.is_legacy:
        return EmbeddingState.LEGACY
    if active is None or model is None:
        return EmbeddingState.UNKNOWN
    if active.is_kept_in(table) and model in active.names_in(table):
        return EmbeddingState.ACTIVE
    return EmbeddingState.STALE


def counted_models(oids: Iterable[int], counts: Counts) -> dict[int, ModelCounts]:
    """Exact rows by model of the tables that were counted so."""
    return {
        oid: {model: Count(rows) for model, rows in counts.get(row_source(oid), {}).items()}
        for oid in oids
    }


def estimated_models(
    tables: Iterable[EmbeddingTable],
    counts: Mapping[int, Count],
    shares: Mapping[tuple[str, str], Mapping[str, float]],
) -> dict[int, ModelCounts]:
    """Estimated rows by model: the model's share at the last ANALYZE."""
    models: dict[int, ModelCounts] = {}
    for table in tables:
        rows = counts[table.oid].rows
        if rows is not None:
            models[table.oid] = {
                model: Count(round(rows * share), exact=False)
                for model, share in shares.get((table.schema, table.name), {}).items()
            }
    return models


def read_model_shares(
    conn: Connection, tables: Iterable[EmbeddingTable]
) -> dict[tuple[str, str], dict[str, float]]:
    """The share of each model in tables of embeddings, by schema and name of the table. A table
    that was never analyzed, or can't be selected from, is missing."""
    wanted = list(tables)
    parameters = {
        "schemas": [table.schema for table in wanted],
        "names": [table.name for table in wanted],
    }
    shares: dict[tuple[str, str], dict[str, float]] = {}
    rows = conn.execute(queries.load("stats/model_shares"), parameters)
    for schema, name, model, share in rows:
        shares.setdefault((schema, name), {})[model] = share
    return shares
