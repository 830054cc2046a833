"""How much of the library is here, and how much of it has embeddings.

What should be here is what the media server reported to the newest completed sync.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from aperture_db import sql as queries
from aperture_db.aperture import ActiveModel, Media, jobs
from aperture_db.postgres.connection import Connection
from aperture_db.stats.inventory import Inventory
from aperture_db.stats.jobs import JobResult
from aperture_db.stats.questions import MEDIA_TABLES, Answers
from aperture_db.stats.report import Coverage, Subject

EMBEDDING_SUBJECTS = {
    Media.MOVIE: Subject.MOVIE_EMBEDDINGS,
    Media.SERIES: Subject.SERIES_EMBEDDINGS,
    Media.EPISODE: Subject.EPISODE_EMBEDDINGS,
}
# As library_config names what a library holds.
COLLECTION_TYPES = {
    Subject.MOVIES: "movies",
    Subject.SERIES: "tvshows",
    Subject.EPISODES: "tvshows",
}


@dataclass(frozen=True)
class Reported:
    """A number that a job reported, or why there is none."""

    total: int | None
    as_of: datetime | None
    unknown: str | None


def measure_coverage(
    inventory: Inventory,
    answers: Answers,
    results: Mapping[str, JobResult],
    active: ActiveModel | None,
) -> tuple[Coverage, ...]:
    """What is there of what should be; nothing about tables that this version does not have."""
    return (*_synced(inventory, answers, results), *_embedded(inventory, answers, active))


def forget_reports_on_other_libraries(
    conn: Connection, inventory: Inventory, coverage: Iterable[Coverage]
) -> tuple[Coverage, ...]:
    """Where something seems to be missing, leave out what was reported before the libraries were
    changed: a library that is switched off keeps its titles, and they don't count any more."""
    measured = tuple(coverage)
    doubtful = {
        item.subject for item in measured if item.missing and item.subject in COLLECTION_TYPES
    }
    if not doubtful or not inventory.has_columns("library_config", "collection_type", "updated_at"):
        return measured
    rows = conn.execute(queries.load("stats/library_changes")).fetchall()
    changed_at: dict[str, datetime | None] = dict(rows)
    return tuple(
        replace(item, expected=None, unknown="the libraries were changed since the last sync")
        if item.subject in doubtful
        and item.as_of
        and (changed := changed_at.get(COLLECTION_TYPES[item.subject]))
        and changed > item.as_of
        else item
        for item in measured
    )


def _synced(
    inventory: Inventory, answers: Answers, results: Mapping[str, JobResult]
) -> Iterator[Coverage]:
    sources = {
        Subject.MOVIES: ("movies", "movies_in_libraries"),
        Subject.SERIES: ("series", "series_in_libraries"),
        Subject.EPISODES: ("episodes", "episodes_in_libraries"),
        Subject.USERS: ("users", "users_of_media_server"),
    }
    for subject, (table, source) in sources.items():
        if table not in inventory.visible:
            continue
        reported = _reported(subject, inventory, results)
        present = _present(answers.get(source, {}), subject)
        unknown = reported.unknown
        if present is None:
            unknown = (
                "users of several media servers, and no setting names the one in use"
                if subject is Subject.USERS and source in answers
                else "the tables can't be read"
            )
        yield Coverage(subject, present, reported.total, reported.as_of, unknown)


def _present(answer: Mapping[str | None, int], subject: Subject) -> int | None:
    if subject is Subject.USERS:
        return next((rows for provider, rows in answer.items() if provider is not None), None)
    return answer.get(None)


def _reported(subject: Subject, inventory: Inventory, results: Mapping[str, JobResult]) -> Reported:
    if "job_runs" not in inventory.visible:
        return Reported(None, None, "this version keeps no history of jobs")
    if "job_runs" not in inventory.readable:
        return Reported(None, None, "the history of jobs can't be read")
    job_name = {Subject.MOVIES: jobs.SYNC_MOVIES, Subject.USERS: jobs.SYNC_USERS}.get(
        subject, jobs.SYNC_SERIES
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
    inventory: Inventory, answers: Answers, active: ActiveModel | None
) -> Iterator[Coverage]:
    for media, subject in EMBEDDING_SUBJECTS.items():
        if MEDIA_TABLES[media] not in inventory.visible:
            continue
        expected = answers.get(f"to_embed:{media}", {}).get(None)
        present = answers.get(f"embedded:{media}", {}).get(None)
        unknown = None
        if active is None:
            unknown = "no embedding model is known to be in use"
        elif expected is None:
            unknown = "the tables can't be read"
        elif present is None:
            unknown = f"there is no table for {active.dimension} dimensions"
        yield Coverage(subject, present, expected, None, unknown)
