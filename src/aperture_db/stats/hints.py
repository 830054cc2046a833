"""What the counts mean: what stands out, its likely cause and the next step.

The rules follow how Aperture's jobs work; where they can't tell, nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from aperture_db import aperture
from aperture_db.aperture import jobs
from aperture_db.format import plural, quote_identifier
from aperture_db.postgres.catalog import Table
from aperture_db.stats.jobs import JobResult
from aperture_db.stats.report import (
    Coverage,
    DatabaseFacts,
    Embeddings,
    EmbeddingState,
    Hint,
    Overview,
    Subject,
)

# What a sync merges or leaves out on purpose is less than this share of a library.
NORMAL_SHORTFALL = 0.01


@dataclass(frozen=True)
class Sync:
    """The job that brings a number of things from the media server."""

    job: str
    why_fewer: str
    """The usual cause of a shortfall of any size."""
    why_slightly_fewer: str | None = None
    """Why a small shortfall is normal, where it can be."""


LOCAL_PROVIDERS = {"ollama", "openai-compatible"}
UNSTORED = "what can't be stored is only logged, and the run still counts as completed"
SYNCS = {
    Subject.MOVIES: Sync(
        jobs.SYNC_MOVIES, UNSTORED, "movies with the same title and year are kept as one"
    ),
    Subject.SERIES: Sync(jobs.SYNC_SERIES, UNSTORED),
    Subject.EPISODES: Sync(
        jobs.SYNC_SERIES, UNSTORED, "episodes without a season or episode number are left out"
    ),
    Subject.USERS: Sync(jobs.SYNC_USERS, "the users that came since are not here yet"),
}
EMBEDDING_JOBS = {
    Subject.MOVIE_EMBEDDINGS: ("movies", jobs.GENERATE_MOVIE_EMBEDDINGS),
    Subject.SERIES_EMBEDDINGS: ("series", jobs.GENERATE_SERIES_EMBEDDINGS),
    Subject.EPISODE_EMBEDDINGS: ("episodes", jobs.GENERATE_SERIES_EMBEDDINGS),
}


def hints_about_library(
    overview: Overview,
    embeddings: Embeddings,
    coverage: tuple[Coverage, ...],
    results: Mapping[str, JobResult],
) -> Iterator[Hint]:
    """From what is most basic to what builds on it: syncs first, then embeddings."""
    yield from _hints_about_syncs(overview, coverage, results)
    for item in coverage:
        if item.subject in SYNCS and item.missing:
            yield _missing(item, SYNCS[item.subject], results)
    if embeddings.is_model_missing and (overview.movies.rows or overview.series.rows):
        yield Hint(
            "embedding_model_missing",
            True,
            "no embedding model is configured",
            "without one Aperture makes no embeddings, and so no recommendations",
            "choose an embedding model in Aperture's AI settings",
        )
    for item in coverage:
        if item.subject in EMBEDDING_JOBS and item.missing:
            yield _pending(item, embeddings, results)
    yield from _hints_about_unused(embeddings)


def _hints_about_syncs(
    overview: Overview, coverage: tuple[Coverage, ...], results: Mapping[str, JobResult]
) -> Iterator[Hint]:
    never = [
        name
        for name in (jobs.SYNC_USERS, jobs.SYNC_MOVIES, jobs.SYNC_SERIES)
        if name in results and results[name].completed_at is None
    ]
    if never:
        is_empty = not any(
            count.rows for count in (overview.movies, overview.series, overview.users)
        )
        yield Hint(
            "never_synced",
            is_empty,
            "nothing has been synced from the media server yet"
            if is_empty
            else "whether everything on the media server is here is not known",
            f"no completed run is recorded of {_listed(never)}",
            f"in Aperture, run {_listed(never)}",
        )
    titles = [item for item in coverage if item.subject in (Subject.MOVIES, Subject.SERIES)]
    if titles and all(item.expected == 0 for item in titles):
        yield Hint(
            "nothing_found",
            True,
            "the last syncs found no titles on the media server",
            "no library is enabled, or the enabled ones are empty",
            f"enable libraries in Aperture's settings, then run {jobs.SYNC_MOVIES} "
            f"and {jobs.SYNC_SERIES}",
        )


def _missing(item: Coverage, sync: Sync, results: Mapping[str, JobResult]) -> Hint:
    assert item.expected is not None
    is_small = item.missing <= item.expected * NORMAL_SHORTFALL
    is_normal = sync.why_slightly_fewer is not None and is_small
    cause = sync.why_slightly_fewer if is_normal else sync.why_fewer
    if results[sync.job].last_status == "failed":
        cause = f"the newest run of {sync.job} failed"
        is_normal = False
    return Hint(
        f"{item.subject}_missing",
        not is_normal,
        f"{item.missing:,} of {item.expected:,} {item.subject} are not here",
        f"{cause}",
        f"nothing, unless you miss some; {sync.job} logs what it leaves out"
        if is_normal
        else f"in Aperture, run {sync.job} and read its log",
    )


def _pending(item: Coverage, embeddings: Embeddings, results: Mapping[str, JobResult]) -> Hint:
    noun, job = EMBEDDING_JOBS[item.subject]
    next_step = f"in Aperture, run {job}{_price(embeddings)}"
    if item.present == 0 and _is_without_dimension(embeddings):
        cause = (
            f"Aperture 0.7.8 does not know the dimensions of {embeddings.active_model}: {job} fails"
        )
        next_step = "choose another embedding model in Aperture's AI settings"
    elif job in results and results[job].last_status == "failed":
        cause = f"the newest run of {job} failed"
    elif item.present == 0 and embeddings.rows_in(EmbeddingState.STALE):
        cause = "the model was changed, and embeddings of another model can't be used"
    else:
        cause = f"{job} has not come to them yet"
    return Hint(
        f"{item.subject.replace(' ', '_')}_pending",
        True,
        f"{item.missing:,} of {item.expected:,} {noun} have no embedding of the active model",
        cause,
        next_step,
    )


def _is_without_dimension(embeddings: Embeddings) -> bool:
    """Whether the model is none that Aperture knows, of a provider whose custom models it never
    looks up."""
    provider = embeddings.active_provider
    is_looked_up = provider in ("", *aperture.CUSTOM_MODEL_PROVIDERS)
    return embeddings.active_dimension is None and not is_looked_up


def _price(embeddings: Embeddings) -> str:
    is_local = embeddings.active_provider in LOCAL_PROVIDERS
    return "" if is_local else "; the provider may charge for it"


def _hints_about_unused(embeddings: Embeddings) -> Iterator[Hint]:
    mark = "" if all(item.count.exact for item in embeddings.sets) else "~"
    if stale := embeddings.rows_in(EmbeddingState.STALE):
        yield Hint(
            "stale_embeddings",
            True,
            f"{mark}{stale:,} embeddings are stale",
            f"they are not of the active model {embeddings.active_model}, so nothing reads them",
            "aperture-db clean --apply stale-embeddings",
        )
    if legacy := embeddings.rows_in(EmbeddingState.LEGACY):
        yield Hint(
            "legacy_embeddings",
            True,
            f"{mark}{legacy:,} embeddings are in *_legacy tables",
            "migration 0078 copied them to the tables in use; nothing reads them",
            "aperture-db clean --apply legacy-embeddings",
        )


def hint_about_database(facts: DatabaseFacts, tables: Collection[Table]) -> Hint:
    """For a database that is not Aperture's, or whose search_path does not lead to it."""
    names_by_schema: dict[str, set[str]] = {}
    for table in tables:
        names_by_schema.setdefault(table.schema, set()).add(table.name)
    for schema, names in names_by_schema.items():
        if aperture.is_aperture(names):
            return Hint(
                "not_aperture",
                True,
                f"Aperture's tables are in schema {schema}, which is not in the search_path",
                "the search_path of this role, of the database or in the connection string is set",
                f"ALTER ROLE {quote_identifier(facts.role)} SET search_path = "
                f"{quote_identifier(schema)};",
            )
    if tables:
        in_the_way = any(table.is_visible and aperture.group_of(table.name) for table in tables)
        return Hint(
            "not_aperture",
            True,
            "this is not Aperture's database",
            f"it has {plural(len(tables), 'table')} of something else",
            "check the database's name; "
            + (
                "Aperture needs one of its own, because some names would clash"
                if in_the_way
                else "Aperture can move in beside them with: aperture-db migrate"
            ),
        )
    return Hint(
        "not_aperture",
        True,
        "this is not Aperture's database yet",
        f"{facts.name} is empty",
        "aperture-db migrate",
    )


def _listed(names: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
