"""The household: users with different roles, rights and tastes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from random import Random
from uuid import UUID

from aperture_db.sample import invented
from aperture_db.sample.titles import INVENTED_GENRES, Title, new_id

# Aperture's values for content ratings (parental_rating_values), as far as the sample has them.
RATING_VALUES = {
    "G": 1, "PG": 4, "PG-13": 7, "R": 9, "NR": 100,
    "TV-G": 3, "TV-PG": 5, "TV-14": 8, "TV-MA": 10,
}  # fmt: skip
NEUTRAL, DISLIKED = 0.3, 0.05


@dataclass(frozen=True)
class Role:
    """What is particular about a user."""

    username: str
    favourite_genres: tuple[str, ...]
    disliked_genre: str = ""
    activity: float = 1.0
    """How much this user watches, compared with the others."""
    is_admin: bool = False
    is_enabled: bool = True
    sees_movies: bool = True
    sees_series: bool = True
    max_parental_rating: int | None = None
    has_trakt: bool = False
    has_locked_profile: bool = False


ROLES = (
    Role("maria", ("Drama", "Mystery", "Crime"), "War", 1.6, is_admin=True, has_trakt=True),
    Role("jonas", ("Science Fiction", "Thriller", "Action"), "Romance", has_locked_profile=True),
    Role("aisha", ("Romance", "Comedy", "Music"), "Horror", 1.3),
    Role("guest", (), activity=0, is_enabled=False),
    Role("walter", ("Western", "War", "History"), "Animation", 0.8, sees_series=False),
    Role("keiko", ("Mystery", "Science Fiction", "Horror"), "Western", 0.9, sees_movies=False),
    Role("leo", ("Animation", "Family", "Adventure"), activity=0.7, max_parental_rating=7),
    Role("tom", ("Documentary", "Comedy", "Music"), "Horror", 0.5),
)


@dataclass(frozen=True)
class SampleUser:
    id: UUID
    number: int
    role: Role

    @property
    def name(self) -> str:
        return self.role.username

    @property
    def provider_user_id(self) -> str:
        return f"{self.number + 1:032x}"

    @cached_property
    def genre_weights(self) -> Mapping[str, float]:
        """How much each genre is liked, 0 to 1."""
        weights = dict.fromkeys(INVENTED_GENRES, NEUTRAL)
        for position, genre in enumerate(self.role.favourite_genres):
            weights[genre] = 1 - 0.15 * position
        if self.role.disliked_genre:
            weights[self.role.disliked_genre] = DISLIKED
        return weights

    def affinity(self, title: Title) -> float:
        """How well a title suits, about 0 to 1."""
        liked = [self.genre_weights[genre] for genre in title.genres]
        fit = 0.6 * max(liked) + 0.4 * sum(liked) / len(liked)
        return max(0.01, min(1.0, fit + (title.score - 7) / 20))

    def may_watch(self, title: Title) -> bool:
        limit = self.role.max_parental_rating
        return limit is None or RATING_VALUES[title.content_rating] <= limit


def make_users(rng: Random, count: int) -> list[SampleUser]:
    roles = [*ROLES[:count]]
    while len(roles) < count:
        name = f"{rng.choice(invented.FIRST_NAMES).lower()}{len(roles) + 1}"
        roles.append(
            Role(name, tuple(rng.sample(INVENTED_GENRES, 3)), activity=rng.uniform(0.3, 1.5))
        )
    return [SampleUser(new_id(rng), number, role) for number, role in enumerate(roles)]
