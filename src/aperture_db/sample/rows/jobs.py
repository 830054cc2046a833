"""The history of jobs, with counts that fit what the library held at the time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

from psycopg.types.json import Jsonb

from aperture_db.sample.rows.content import ENRICHMENT_VERSION
from aperture_db.sample.schedule import JOBS, Job
from aperture_db.sample.tables import Row, TableRows
from aperture_db.sample.world import World

FAILING_JOB, FAILING_RUN = "sync-trakt-ratings", 3
"""Not the newest run: the job has recovered."""
FAILURE = "Trakt did not answer (HTTP 503)"
API_ERRORS = (
    # provider, kind, HTTP status, text, age in days, dismissed
    ("trakt", "service_unavailable", 503, FAILURE, 1, False),
    ("tmdb", "rate_limit", 429, "Too many requests", 9, True),
    ("mdblist", "timeout", None, "No answer within 30 seconds", 30, True),
)


@dataclass(frozen=True)
class Growth:
    """When films and series came, to tell how many there were at any time."""

    films: list[datetime]
    shows: list[datetime]
    episodes: list[int]
    """Running total of episodes along `shows`."""

    def films_at(self, moment: datetime) -> int:
        return bisect_right(self.films, moment)

    def shows_at(self, moment: datetime) -> int:
        return bisect_right(self.shows, moment)

    def episodes_at(self, moment: datetime) -> int:
        count = self.shows_at(moment)
        return self.episodes[count - 1] if count else 0


def tables(world: World) -> Iterator[TableRows]:
    yield TableRows("job_runs", _job_runs(world))
    yield TableRows("enrichment_runs", _enrichment_runs(world))
    yield TableRows("api_errors", _api_errors(world))


def growth(world: World) -> Growth:
    by_arrival = sorted(world.shows, key=lambda show: show.added_at)
    return Growth(
        films=sorted(film.added_at for film in world.films),
        shows=[show.added_at for show in by_arrival],
        episodes=list(accumulate(len(show.episodes) for show in by_arrival)),
    )


def _job_runs(world: World) -> Iterator[Row]:
    counts = growth(world)
    for job in JOBS:
        starts = job.starts(world.clock, world.size.job_days) if job.is_recorded else ()
        for number, started_at in enumerate(starts):
            is_failed = job.name == FAILING_JOB and number == FAILING_RUN
            yield _job_run(world, job, counts, started_at, is_failed=is_failed)


def _job_run(
    world: World, job: Job, counts: Growth, started_at: datetime, *, is_failed: bool
) -> Row:
    duration_ms = round(job.seconds * 1000 * world.rng.uniform(0.8, 1.4))
    finished_at = started_at + timedelta(milliseconds=duration_ms)
    items, result = _outcome(world, job, counts, started_at)
    if is_failed:
        items, result = 0, {}
    logs = [
        {"timestamp": started_at.isoformat(), "level": "info", "message": f"{job.name} started"},
        {
            "timestamp": finished_at.isoformat(),
            "level": "error" if is_failed else "info",
            "message": FAILURE if is_failed else f"{items} items done",
        },
    ]
    return {
        "id": world.new_id(),
        "job_name": job.name,
        "status": "failed" if is_failed else "completed",
        "started_at": started_at,
        "completed_at": finished_at,
        "duration_ms": duration_ms,
        "items_processed": items,
        "items_total": items,
        "error_message": FAILURE if is_failed else None,
        "metadata": Jsonb({**result, "logs": logs}),
        "created_at": finished_at,
    }


def _outcome(
    world: World, job: Job, counts: Growth, moment: datetime
) -> tuple[int, dict[str, int]]:
    """How many items the run counted, and its result as the job keeps it."""
    before = moment - timedelta(hours=job.every_hours or 24)
    films, episodes = counts.films_at(moment), counts.episodes_at(moment)
    new_films = films - counts.films_at(before)
    if job.name == "sync-users":
        users = len(world.users)
        return users, {"total": users, "imported": 0, "updated": users}
    if job.name == "sync-movies":
        result = {"total": films, "added": new_films, "updated": films - new_films, "removed": 0}
        return films, result
    if job.name == "sync-series":
        return episodes, {"totalSeries": counts.shows_at(moment), "totalEpisodes": episodes}
    if job.name in ("generate-movie-embeddings", "enrich-metadata", "enrich-mdblist"):
        return new_films, {"processed": new_films, "failed": 0}
    if job.name == "generate-series-embeddings":
        new_shows = counts.shows_at(moment) - counts.shows_at(before)
        return new_shows, {"processed": new_shows, "failed": 0}
    users = len(world.enabled_users)
    return users, {"users": users}


def _enrichment_runs(world: World) -> Iterator[Row]:
    counts = growth(world)
    for days_ago in (90, 30, 1):
        started_at = world.now - timedelta(days=days_ago, hours=3)
        films, shows = counts.films_at(started_at), counts.shows_at(started_at)
        finished_at = started_at + timedelta(minutes=12)
        yield {
            "id": world.new_id(),
            "target_version": ENRICHMENT_VERSION,
            "expected_movies": films,
            "expected_series": shows,
            "processed_movies": films,
            "processed_series": shows,
            "enriched_movies": films,
            "enriched_series": shows,
            "status": "completed",
            "started_at": started_at,
            "completed_at": finished_at,
            "last_updated_at": finished_at,
            "created_at": started_at,
        }


def _api_errors(world: World) -> Iterator[Row]:
    for provider, kind, http_status, message, age_days, is_dismissed in API_ERRORS:
        created_at = world.now - timedelta(days=age_days)
        yield {
            "id": world.new_id(),
            "provider": provider,
            "error_type": kind,
            "error_code": None,
            "http_status": http_status,
            "error_message": message,
            "created_at": created_at,
            "dismissed_at": created_at + timedelta(hours=8) if is_dismissed else None,
        }
