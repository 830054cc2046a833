"""Who watched what: users follow their taste, and series from the first episode on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from random import Random
from typing import TypeVar
from uuid import UUID

from aperture_db.sample.clock import Clock
from aperture_db.sample.people import SampleUser
from aperture_db.sample.titles import Episode, Film, Show, Title

AnyTitle = TypeVar("AnyTitle", bound=Title)

FILM_SHARE = 0.4
FAVOURITE_SHARE = 0.08
UNFINISHED_SHARE = 0.03


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
    """Divide a number by weights, no part above its limit; what is cut off goes to the others."""
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
