"""Times in the sample, counted back from now, and the schedule of Aperture's jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

LIBRARY_AGE = timedelta(days=420)
MOVIE_SYNC_AGE = timedelta(minutes=25)
SERIES_SYNC_AGE = timedelta(minutes=15)
EMBEDDING_AGE = timedelta(hours=3)
# The first sync brought this share of the library; the rest came by and by.
FIRST_SYNC_SHARE = 0.7


@dataclass(frozen=True)
class Clock:
    now: datetime

    @property
    def library_start(self) -> datetime:
        """The first sync."""
        return self.now - LIBRARY_AGE

    @property
    def movie_sync(self) -> datetime:
        """The newest sync of films; what it found has no embeddings yet."""
        return self.now - MOVIE_SYNC_AGE

    def sunday(self, weeks_ago: int = 0) -> datetime:
        """The last Sunday at 4:00, when recommendations are made, or one before it."""
        early = self.now.replace(hour=4, minute=0, second=0, microsecond=0)
        sunday = early - timedelta(days=(early.weekday() + 1) % 7)
        if sunday > self.now - timedelta(minutes=10):
            sunday -= timedelta(weeks=1)
        return sunday - timedelta(weeks=weeks_ago)

    def moment(self, rng: Random, since: datetime, until: datetime | None = None) -> datetime:
        """A random whole second between two times; `until` defaults to an hour ago."""
        until = until or self.now - timedelta(hours=1)
        span = max(1, int((until - since).total_seconds()))
        return since + timedelta(seconds=rng.randrange(span))

    def arrival(self, rng: Random) -> datetime:
        """A random time of a title's arrival, always before the newest embedding job."""
        if rng.random() < FIRST_SYNC_SHARE:
            return self.library_start
        return self.moment(rng, self.library_start, self.now - EMBEDDING_AGE - timedelta(days=1))


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
