"""Everything that the rows are made from, decided before the first row.

Embeddings have distances that make sense: titles that share genres, people or a collection are
near each other. Every trait has a direction of its own; a title's vector is the sum of its traits'
directions and some noise. Random directions in hundreds of dimensions are nearly at right angles,
so the cosine of two titles is about the share of traits that they have in common.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from random import Random
from uuid import UUID
from zlib import crc32

from pgvector import HalfVector

from aperture_db.sample.people import SampleUser, Viewing, make_users, make_viewing
from aperture_db.sample.titles import (
    Clock,
    Episode,
    Film,
    Show,
    Title,
    make_films,
    make_shows,
    new_id,
)

NOISE_POOL_LENGTH = 65_536
GENRE_WEIGHT = 1.0
PERSON_WEIGHT = 0.35
COLLECTION_WEIGHT = 0.8
TITLE_NOISE = 0.6
"""Length of the noise; the traits of a title together have length 1."""
EPISODE_NOISE = 0.35
TASTE_NOISE = 0.2

Traits = tuple[tuple[str, float], ...]
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


def traits_of(title: Title) -> Traits:
    """The weighted traits that place a title; its first genre counts most."""
    traits = [
        (genre, GENRE_WEIGHT / (1 + position / 2)) for position, genre in enumerate(title.genres)
    ]
    traits += [(director, PERSON_WEIGHT) for director in title.directors[:1]]
    if isinstance(title, Film) and title.collection:
        traits.append((title.collection, COLLECTION_WEIGHT))
    return tuple(traits)


class VectorSpace:
    """Makes vectors of one dimension; the same random source gives the same vectors."""

    def __init__(self, dimension: int, rng: Random) -> None:
        self.dimension = dimension
        self._rng = rng
        self._scaled: dict[float, list[float]] = {}

    @cached_property
    def _pool(self) -> list[float]:
        """Normal deviates. Slices at different offsets serve as independent noise, which is
        hundreds of times faster than drawing each number."""
        length = NOISE_POOL_LENGTH + self.dimension
        deviation = 1 / math.sqrt(self.dimension)
        return [self._rng.gauss(0, deviation) for _ in range(length)]

    def center(self, traits: Traits) -> list[float]:
        """The unit vector of these traits."""
        sums = [0.0] * self.dimension
        for name, weight in traits:
            start = crc32(name.encode()) % NOISE_POOL_LENGTH
            direction = self._pool[start : start + self.dimension]
            sums = [total + weight * part for total, part in zip(sums, direction, strict=True)]
        length = math.hypot(*sums)
        return [part / length for part in sums]

    def near(self, center: list[float], noise: float) -> HalfVector:
        """A vector of about unit length around `center`; `noise` is the length of the deviation."""
        pool = self._scaled.get(noise)
        if pool is None:
            pool = self._scaled[noise] = [part * noise for part in self._pool]
        start = self._rng.randrange(NOISE_POOL_LENGTH)
        deviation = pool[start : start + self.dimension]
        shrink = 1 / math.sqrt(1 + noise * noise)
        return HalfVector(
            [(part + extra) * shrink for part, extra in zip(center, deviation, strict=True)]
        )


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
