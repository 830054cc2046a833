"""Embeddings whose distances make sense: titles that share genres, people or a collection are near.

Every trait has a direction of its own; a title's vector is the sum of its traits' directions and
some noise. Random directions in hundreds of dimensions are nearly at right angles, so the cosine
of two titles is about the share of traits that they have in common.
"""

from __future__ import annotations

import math
from functools import cached_property
from random import Random
from zlib import crc32

from pgvector import HalfVector

from aperture_db.sample.titles import Film, Title

NOISE_POOL_LENGTH = 65_536
GENRE_WEIGHT = 1.0
PERSON_WEIGHT = 0.35
COLLECTION_WEIGHT = 0.8
TITLE_NOISE = 0.6
"""Length of the noise; the traits of a title together have length 1."""
EPISODE_NOISE = 0.35
TASTE_NOISE = 0.2

Traits = tuple[tuple[str, float], ...]


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
