"""The jobs of the sample's Aperture: when they run, and when they ran."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from aperture_db.sample.clock import EMBEDDING_AGE, MOVIE_SYNC_AGE, SERIES_SYNC_AGE, Clock


@dataclass(frozen=True)
class Job:
    name: str
    seconds: float
    """How long a run takes."""
    every_hours: int | None = None
    every_minutes: int | None = None
    newest_age: timedelta = timedelta()
    """Of a job that runs at intervals."""
    hour: int | None = None
    """Of a job that runs daily, or weekly on Sunday."""
    is_weekly: bool = False
    is_recorded: bool = True
    """Whether runs leave rows in job_runs; scheduled backups don't."""

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
    Job("sync-users", 0.4, every_minutes=30, newest_age=_minutes(20)),
    Job("sync-movies", 41, every_hours=3, newest_age=MOVIE_SYNC_AGE),
    Job("sync-series", 75, every_hours=3, newest_age=SERIES_SYNC_AGE),
    Job("sync-movie-watch-history", 12, every_hours=2, newest_age=_minutes(50)),
    Job("sync-series-watch-history", 26, every_hours=1, newest_age=_minutes(35)),
    Job("sync-watching-favorites", 3, every_hours=1, newest_age=_minutes(10)),
    Job("sync-trakt-ratings", 5, every_hours=6, newest_age=timedelta(hours=4)),
    Job("enrich-metadata", 22, every_hours=6, newest_age=timedelta(hours=3, minutes=30)),
    Job("generate-movie-embeddings", 4, every_hours=6, newest_age=EMBEDDING_AGE),
    Job("generate-series-embeddings", 4, every_hours=6, newest_age=EMBEDDING_AGE),
    Job("sync-movie-libraries", 9, every_hours=3, newest_age=timedelta(hours=1)),
    Job("sync-series-libraries", 9, every_hours=3, newest_age=timedelta(hours=1)),
    Job("backup-database", 6, hour=2, is_recorded=False),
    Job("refresh-top-picks", 2, hour=5),
    Job("enrich-studio-logos", 15, hour=5),
    Job("generate-discovery-suggestions", 48, hour=6),
    Job("enrich-mdblist", 33, hour=7),
    Job("generate-movie-recommendations", 95, hour=4, is_weekly=True),
    Job("generate-series-recommendations", 70, hour=4, is_weekly=True),
    Job("refresh-assistant-suggestions", 14, hour=0, is_weekly=True),
    Job("refresh-ai-pricing", 1, hour=0, is_weekly=True),
    Job("refresh-library-gaps", 40),
)
