"""Rows of the job history and of caches, with counts that fit the library at the time."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

from psycopg.types.json import Jsonb

from aperture_db.sample.rows import Row, TableRows
from aperture_db.sample.rows.library import ENRICHMENT_VERSION, collection_ids
from aperture_db.sample.titles import EMBEDDING_AGE, MOVIE_SYNC_AGE, SERIES_SYNC_AGE, Clock
from aperture_db.sample.world import World


@dataclass(frozen=True)
class ScheduledJob:
    name: str
    seconds: float
    """Duration of a run."""
    every_hours: int | None = None
    every_minutes: int | None = None
    newest_age: timedelta = timedelta()
    """Of a job that runs at intervals."""
    hour: int | None = None
    """Of a job that runs daily, or weekly on Sunday."""
    is_weekly: bool = False
    is_recorded: bool = True
    """Runs leave rows in job_runs; those of scheduled backups don't."""

    @property
    def schedule_type(self) -> str:
        if self.every_hours or self.every_minutes:
            return "interval"
        if self.hour is None:
            return "manual"
        return "weekly" if self.is_weekly else "daily"

    def starts(self, clock: Clock, days: int) -> Iterator[datetime]:
        """The starts of its runs in the last `days` days, newest first."""
        oldest = clock.now - timedelta(days=days)
        if self.schedule_type == "manual":
            return
        if self.schedule_type == "interval":
            step = timedelta(hours=self.every_hours or 0, minutes=self.every_minutes or 0)
            start = clock.now - self.newest_age
        elif self.is_weekly:
            step, start = timedelta(weeks=1), clock.sunday() + timedelta(hours=(self.hour or 0) - 4)
        else:
            step = timedelta(days=1)
            start = clock.now.replace(hour=self.hour or 0, minute=0, second=0, microsecond=0)
            if start > clock.now - timedelta(minutes=10):
                start -= step
        while start >= oldest:
            yield start
            start -= step


def _minutes(count: int) -> timedelta:
    return timedelta(minutes=count)


JOBS = (
    ScheduledJob("sync-users", 0.4, every_minutes=30, newest_age=_minutes(20)),
    ScheduledJob("sync-movies", 41, every_hours=3, newest_age=MOVIE_SYNC_AGE),
    ScheduledJob("sync-series", 75, every_hours=3, newest_age=SERIES_SYNC_AGE),
    ScheduledJob("sync-movie-watch-history", 12, every_hours=2, newest_age=_minutes(50)),
    ScheduledJob("sync-series-watch-history", 26, every_hours=1, newest_age=_minutes(35)),
    ScheduledJob("sync-watching-favorites", 3, every_hours=1, newest_age=_minutes(10)),
    ScheduledJob("sync-trakt-ratings", 5, every_hours=6, newest_age=timedelta(hours=4)),
    ScheduledJob("enrich-metadata", 22, every_hours=6, newest_age=timedelta(hours=3, minutes=30)),
    ScheduledJob("generate-movie-embeddings", 4, every_hours=6, newest_age=EMBEDDING_AGE),
    ScheduledJob("generate-series-embeddings", 4, every_hours=6, newest_age=EMBEDDING_AGE),
    ScheduledJob("sync-movie-libraries", 9, every_hours=3, newest_age=timedelta(hours=1)),
    ScheduledJob("sync-series-libraries", 9, every_hours=3, newest_age=timedelta(hours=1)),
    ScheduledJob("backup-database", 6, hour=2, is_recorded=False),
    ScheduledJob("refresh-top-picks", 2, hour=5),
    ScheduledJob("enrich-studio-logos", 15, hour=5),
    ScheduledJob("generate-discovery-suggestions", 48, hour=6),
    ScheduledJob("enrich-mdblist", 33, hour=7),
    ScheduledJob("generate-movie-recommendations", 95, hour=4, is_weekly=True),
    ScheduledJob("generate-series-recommendations", 70, hour=4, is_weekly=True),
    ScheduledJob("refresh-assistant-suggestions", 14, hour=0, is_weekly=True),
    ScheduledJob("refresh-ai-pricing", 1, hour=0, is_weekly=True),
    ScheduledJob("refresh-library-gaps", 40),
)

FAILING_JOB, FAILING_RUN = "sync-trakt-ratings", 3
"""Not the newest run: the job has recovered."""
FAILURE = "Trakt did not answer (HTTP 503)"
API_ERRORS = (
    # provider, kind, HTTP status, text, age in days, dismissed
    ("trakt", "service_unavailable", 503, FAILURE, 1, False),
    ("tmdb", "rate_limit", 429, "Too many requests", 9, True),
    ("mdblist", "timeout", None, "No answer within 30 seconds", 30, True),
)
VERDICTS = 60
FORGOTTEN_VERDICTS = 6
"""About films that have left the library since."""
PEOPLE = 25
POSTERS = 30
CHARTS = ("nfx", "dnp", "mxx")


@dataclass(frozen=True)
class LibraryGrowth:
    """Arrival times of films and series, for counts at any time."""

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


def job_tables(world: World) -> Iterator[TableRows]:
    yield TableRows("job_runs", _job_runs(world))
    yield TableRows("enrichment_runs", _enrichment_runs(world))
    yield TableRows("api_errors", _api_errors(world))


def growth(world: World) -> LibraryGrowth:
    by_arrival = sorted(world.shows, key=lambda show: show.added_at)
    return LibraryGrowth(
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
    world: World, job: ScheduledJob, counts: LibraryGrowth, started_at: datetime, *, is_failed: bool
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
    world: World, job: ScheduledJob, counts: LibraryGrowth, moment: datetime
) -> tuple[int, dict[str, int]]:
    """The number of items of a run, and the result that the job records."""
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


def cache_tables(world: World) -> Iterator[TableRows]:
    yield TableRows("similarity_validation_cache", _verdicts(world))
    yield TableRows("tmdb_collection_cache", _collections(world))
    yield TableRows("tmdb_poster_cache", _posters(world))
    yield TableRows("person_tmdb_profile_cache", _people(world))
    yield TableRows("justwatch_chart_cache", _charts(world))


def _verdicts(world: World) -> Iterator[Row]:
    pairs = dict.fromkeys(tuple(world.rng.sample(world.films, 2)) for _ in range(VERDICTS))
    for number, (source, target) in enumerate(sorted(pairs, key=lambda pair: pair[0].number)):
        common = set(source.genres) & set(target.genres)
        yield {
            "id": world.new_id(),
            "source_id": source.id,
            "target_id": world.new_id() if number < FORGOTTEN_VERDICTS else target.id,
            "source_type": "movie",
            "target_type": "movie",
            "is_valid": bool(common),
            "reason": f"Both are {min(common).lower()}." if common else "Nothing in common.",
            "created_at": world.clock.moment(world.rng, world.clock.library_start),
        }


def _collections(world: World) -> Iterator[Row]:
    films_of = defaultdict(list)
    for film in world.films:
        films_of[film.collection].append(film)
    for name, collection_id in collection_ids(world.films).items():
        yield {
            "collection_id": collection_id,
            "name": name,
            "overview": f"The films of {name.removesuffix(' Collection')}.",
            "poster_path": f"/collection-{collection_id}.jpg",
            "parts_json": Jsonb(
                [{"id": f.tmdb_id, "title": f.name, "release_year": f.year} for f in films_of[name]]
            ),
            "updated_at": world.now - timedelta(days=9),
        }


def _posters(world: World) -> Iterator[Row]:
    for film in world.films[:POSTERS]:
        yield {
            "media_type": "movie",
            "tmdb_id": film.tmdb_id,
            "language": "en",
            "poster_path": f"/poster-{film.tmdb_id}.jpg",
            "fetched_at": world.clock.moment(world.rng, world.now - timedelta(days=60)),
        }


def _people(world: World) -> Iterator[Row]:
    names = dict.fromkeys(name for film in world.films for name in film.directors)
    for number, name in enumerate(list(names)[:PEOPLE]):
        directed = [film for film in world.films if name in film.directors]
        updated_at = world.clock.moment(world.rng, world.now - timedelta(days=40))
        yield {
            "name_key": name.lower(),
            "tmdb_person_id": 99_000_000 + number,
            "profile_path": f"/person-{number}.jpg",
            "not_found": False,
            "combined_credits_json": Jsonb(
                {"crew": [{"id": f.tmdb_id, "title": f.name, "job": "Director"} for f in directed]}
            ),
            "combined_credits_cached_at": updated_at,
            "updated_at": updated_at,
        }


def _charts(world: World) -> Iterator[Row]:
    for number, provider in enumerate(CHARTS):
        ranked = world.films[number * 5 : number * 5 + 5]
        yield {
            "cache_key": f"popular:{provider}:US:movie",
            "payload": Jsonb({"titles": [{"title": f.name, "year": f.year} for f in ranked]}),
            "fetched_at": world.now - timedelta(hours=3 + 200 * number),
        }
