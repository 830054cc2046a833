"""Everything that the rows are made from, decided before the first row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from random import Random
from uuid import UUID

from aperture_db.sample.clock import Clock
from aperture_db.sample.people import SampleUser, make_users
from aperture_db.sample.size import SampleSize
from aperture_db.sample.titles import Episode, Film, Show, make_films, make_shows, new_id
from aperture_db.sample.vectors import VectorSpace
from aperture_db.sample.viewing import Viewing, make_viewing

# Models that Aperture knows; every other dimension needs a row in custom_ai_models.
MODEL_BY_DIMENSION = {
    768: ("ollama", "nomic-embed-text"),
    1024: ("ollama", "mxbai-embed-large"),
    1536: ("openai", "text-embedding-3-small"),
    3072: ("openai", "text-embedding-3-large"),
}


@dataclass(frozen=True)
class World:
    size: SampleSize
    clock: Clock
    rng: Random
    films: list[Film]
    shows: list[Show]
    users: list[SampleUser]
    viewing: Viewing
    space: VectorSpace

    @property
    def now(self) -> datetime:
        return self.clock.now

    @property
    def model(self) -> tuple[str, str]:
        """Provider and name of the active embedding model."""
        custom = ("ollama", f"sample-embed-{self.size.dimension}")
        return MODEL_BY_DIMENSION.get(self.size.dimension, custom)

    @property
    def model_id(self) -> str:
        return ":".join(self.model)

    @property
    def enabled_users(self) -> list[SampleUser]:
        return [user for user in self.users if user.role.is_enabled]

    @cached_property
    def episode_count(self) -> int:
        return sum(len(show.episodes) for show in self.shows)

    def episodes(self) -> Iterator[tuple[Show, Episode]]:
        for show in self.shows:
            for episode in show.episodes:
                yield show, episode

    def new_id(self) -> UUID:
        return new_id(self.rng)


def make_world(size: SampleSize, now: datetime, seed: int) -> World:
    """The same size, time and seed make the same world."""
    rng = Random(seed)  # noqa: S311
    clock = Clock(now.replace(microsecond=0))
    users = make_users(rng, size.users)
    films = make_films(rng, clock, size.movies)
    shows = make_shows(rng, clock, size.series, size.episodes_per_series)
    viewing = make_viewing(rng, clock, users, films, shows, size.watch_records)
    space = VectorSpace(size.dimension, rng)
    return World(size, clock, rng, films, shows, users, viewing, space)
