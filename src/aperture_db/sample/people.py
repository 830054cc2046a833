"""The household: users with different roles and tastes, and the titles they watched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from random import Random
from typing import TypeVar
from uuid import UUID

from aperture_db.sample.titles import Clock, Episode, Film, Show, Title, new_id, words

# Aperture's values for content ratings (parental_rating_values), as far as the sample has them.
RATING_VALUES = {
    "G": 1, "PG": 4, "PG-13": 7, "R": 9, "NR": 100,
    "TV-G": 3, "TV-PG": 5, "TV-14": 8, "TV-MA": 10,
}  # fmt: skip
NEUTRAL, DISLIKED = 0.3, 0.05
AnyTitle = TypeVar("AnyTitle", bound=Title)
FILM_SHARE = 0.4
FAVOURITE_SHARE = 0.08
UNFINISHED_SHARE = 0.03


@dataclass(frozen=True)
class Role:
    """Rights, tastes and habits of a user."""

    username: str
    favourite_genres: tuple[str, ...]
    disliked_genre: str = ""
    activity: float = 1.0
    """Share of the watch records, relative to other users."""
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

    @property
    def media_types(self) -> list[str]:
        """The kinds of titles that the user gets recommendations for."""
        wanted = {"movie": self.role.sees_movies, "series": self.role.sees_series}
        return [media_type for media_type, is_wanted in wanted.items() if is_wanted]

    @cached_property
    def genre_weights(self) -> Mapping[str, float]:
        """The liking of each genre, 0 to 1."""
        weights = dict.fromkeys(words("genres"), NEUTRAL)
        for position, genre in enumerate(self.role.favourite_genres):
            weights[genre] = 1 - 0.15 * position
        if self.role.disliked_genre:
            weights[self.role.disliked_genre] = DISLIKED
        return weights

    def affinity(self, title: Title) -> float:
        """The expected liking of a title, about 0 to 1."""
        liked = [self.genre_weights[genre] for genre in title.genres]
        fit = 0.6 * max(liked) + 0.4 * sum(liked) / len(liked)
        return max(0.01, min(1.0, fit + (title.score - 7) / 20))

    def may_watch(self, title: Title) -> bool:
        limit = self.role.max_parental_rating
        return limit is None or RATING_VALUES[title.content_rating] <= limit


def make_users(rng: Random, count: int) -> list[SampleUser]:
    roles = [*ROLES[:count]]
    while len(roles) < count:
        name = f"{rng.choice(words('first_names')).lower()}{len(roles) + 1}"
        roles.append(
            Role(name, tuple(rng.sample(words("genres"), 3)), activity=rng.uniform(0.3, 1.5))
        )
    return [SampleUser(new_id(rng), number, role) for number, role in enumerate(roles)]


@dataclass(frozen=True, slots=True)
class Watch:
    """A user's record of a film, or of an episode of a show."""

    user: SampleUser
    title: Title
    episode: Episode | None
    play_count: int
    """0: started, not finished."""
    last_played_at: datetime
    is_favorite: bool


@dataclass(frozen=True)
class Viewing:
    watches: list[Watch]

    @cached_property
    def titles_by_user(self) -> dict[UUID, dict[UUID, Title]]:
        """The films and shows that a user has watched, in the order of `watches`."""
        titles: dict[UUID, dict[UUID, Title]] = defaultdict(dict)
        for watch in self.watches:
            titles[watch.user.id][watch.title.id] = watch.title
        return titles

    def films_of(self, user: SampleUser) -> list[Film]:
        seen = self.titles_by_user[user.id].values()
        return [title for title in seen if isinstance(title, Film)]

    def shows_of(self, user: SampleUser) -> list[Show]:
        seen = self.titles_by_user[user.id].values()
        return [title for title in seen if isinstance(title, Show)]


def make_viewing(
    rng: Random,
    clock: Clock,
    users: Sequence[SampleUser],
    films: Sequence[Film],
    shows: Sequence[Show],
    count: int,
) -> Viewing:
    active = [user for user in users if user.role.activity]
    film_choices = [
        [film for film in films if user.role.sees_movies and user.may_watch(film)]
        for user in active
    ]
    show_choices = [
        [show for show in shows if user.role.sees_series and user.may_watch(show)]
        for user in active
    ]
    activity = [user.role.activity for user in active]
    shares = share_out(
        count,
        [part * FILM_SHARE for part in activity] + [part * (1 - FILM_SHARE) for part in activity],
        [len(choice) for choice in film_choices]
        + [sum(len(show.episodes) for show in choice) for choice in show_choices],
    )
    watches: list[Watch] = []
    for index, user in enumerate(active):
        liked_films = _by_liking(rng, user, film_choices[index])
        chosen: list[tuple[Title, Episode | None]] = [
            (film, None) for film in liked_films[: shares[index]]
        ]
        liked_shows = _by_liking(rng, user, show_choices[index])
        chosen += _pick_episodes(rng, liked_shows, shares[len(active) + index])
        watches += [_watch(rng, clock, user, title, episode) for title, episode in chosen]
    return Viewing(watches)


def share_out(total: int, weights: Sequence[float], limits: Sequence[int]) -> list[int]:
    """Divide a number by weights, no part above its limit; the other parts get the excess."""
    shares = [0] * len(weights)
    rest = min(total, sum(limits))
    while rest:
        open_parts = [i for i, limit in enumerate(limits) if shares[i] < limit]
        weight_sum = sum(weights[i] for i in open_parts)
        round_total = rest
        for i in open_parts:
            fair = max(1, int(round_total * weights[i] / weight_sum))
            part = min(fair, limits[i] - shares[i], rest)
            shares[i] += part
            rest -= part
    return shares


def _by_liking(rng: Random, user: SampleUser, titles: Sequence[AnyTitle]) -> list[AnyTitle]:
    """Shuffled, with what the user likes more likely in front."""
    keys = {title.id: rng.random() ** (0.2 / user.affinity(title)) for title in titles}
    return sorted(titles, key=lambda title: keys[title.id], reverse=True)


def _pick_episodes(rng: Random, shows: Sequence[Show], count: int) -> list[tuple[Show, Episode]]:
    """The first episodes of show after show; the skipped ends only when nothing else is left."""
    picked: list[tuple[Show, Episode]] = []
    skipped: list[tuple[Show, Episode]] = []
    for show in shows:
        seen = len(show.episodes) if rng.random() < 0.5 else rng.randint(1, len(show.episodes))
        pairs = [(show, episode) for episode in show.episodes]
        picked += pairs[:seen]
        skipped += pairs[seen:]
        if len(picked) >= count:
            break
    return (picked + skipped)[:count]


def _watch(
    rng: Random, clock: Clock, user: SampleUser, title: Title, episode: Episode | None
) -> Watch:
    is_finished = rng.random() >= UNFINISHED_SHARE
    played = 1 + (rng.random() < 0.15) + (rng.random() < 0.05)
    since = max(title.added_at, clock.now - timedelta(days=360))
    return Watch(
        user=user,
        title=title,
        episode=episode,
        play_count=played if is_finished else 0,
        last_played_at=clock.moment(rng, since),
        is_favorite=episode is None and rng.random() < FAVOURITE_SHARE,
    )
