"""When things happened in the sample, counted back from now."""

from __future__ import annotations

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
        """When a film or series came to the library; always before the newest embedding job."""
        if rng.random() < FIRST_SYNC_SHARE:
            return self.library_start
        return self.moment(rng, self.library_start, self.now - EMBEDDING_AGE - timedelta(days=1))
