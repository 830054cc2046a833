"""Everything that the rows are made from, decided before the first row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from random import Random
from uuid import UUID

from aperture_db.sample.people import SampleUser, Viewing, make_users, make_viewing
from aperture_db.sample.schedule import Clock
from aperture_db.sample.titles import Episode, Film, Show, make_films, make_shows, new_id
from aperture_db.sample.vectors import VectorSpace

SUPPORTED_DIMENSIONS = (256, 384, 512, 768, 1024, 1536, 3072, 4096)
MIN_MOVIES, MIN_SERIES, MIN_USERS = 20, 4, 4
# Models that Aperture knows; every other dimension needs a row in custom_ai_models.
MODEL_BY_DIMENSION = {
    768: ("ollama", "nomic-embed-text"),
    1024: ("ollama", "mxbai-embed-large"),
    1536: ("openai", "text-embedding-3-small"),
    3072: ("openai", "text-embedding-3-large"),
}


@dataclass(frozen=True)
class SampleSize:
    """Numbers of rows. The defaults make the library that `aperture-db demo` shows.

    Raises ValueError for less than the smallest library that has something of everything.
    """

    movies: int = 296
    series: int = 42
    episodes_per_series: int | None = None
    """None: as many as the known series really have, and 6 to 60 for invented ones."""
    users: int = 8
    watch_records: int = 2_400
    """At most; users who watch nothing and the end of the library limit it."""
    dimension: int = 768
    """Of the embeddings; decides the embedding tables and the active model."""
    runs_per_user: int = 3
    """Recommendation runs of a user per media type, the newest of last Sunday."""
    movie_candidates: int = 100
    """Per run. Runs for series keep every series, as the app does."""
    job_days: int = 10
    """Length of the job history."""

    def __post_init__(self) -> None:
        if self.movies < MIN_MOVIES or self.series < MIN_SERIES or self.users < MIN_USERS:
            raise ValueError(
                f"a sample library needs {MIN_MOVIES} movies, {MIN_SERIES} series, "
                f"{MIN_USERS} users"
            )
        if self.dimension not in SUPPORTED_DIMENSIONS:
            raise ValueError(f"no embedding table has {self.dimension} dimensions")


DEMO_SIZE = SampleSize()

TEST_SIZE = SampleSize(
    movies=60, series=8, episodes_per_series=6, watch_records=300, dimension=256,
    runs_per_user=2, movie_candidates=20, job_days=1,
)  # fmt: skip
"""Something of everything, for tests."""

LARGE_SIZE = SampleSize(
    movies=20_000, series=1_000, episodes_per_series=60, watch_records=280_000,
    runs_per_user=20, job_days=90,
)  # fmt: skip
"""A big household's library: 60,000 episodes and about 116,000 recommendation candidates."""


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
