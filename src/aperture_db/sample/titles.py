"""The films and series of the sample: known ones first, invented ones for the rest.

The files in data/ hold facts only: titles, years, people, running times. Everything else about
known titles (ratings, plots, identifiers of other services) is made up, of the words there.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from importlib import resources
from random import Random
from typing import Literal, TypeAlias
from uuid import UUID

LIBRARY_AGE = timedelta(days=420)
MOVIE_SYNC_AGE = timedelta(minutes=25)
SERIES_SYNC_AGE = timedelta(minutes=15)
EMBEDDING_AGE = timedelta(hours=3)
# The first sync brought this share of the library; the rest came by and by.
FIRST_SYNC_SHARE = 0.7

WordList: TypeAlias = Literal[
    "adjectives", "nouns", "first_names", "last_names", "heroes", "deeds", "places", "studios",
    "networks", "keywords", "countries", "genres",
]  # fmt: skip


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


def words(name: WordList) -> list[str]:
    """One list of data/words.json."""
    return _word_lists()[name]


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of data/`name`.psv by column name."""
    lines = _read(f"{name}.psv").splitlines()
    return list(csv.DictReader(lines, delimiter="|", quoting=csv.QUOTE_NONE))


def person(rng: Random) -> str:
    """A first and a last name."""
    return f"{rng.choice(words('first_names'))} {rng.choice(words('last_names'))}"


def plot(rng: Random) -> str:
    """One sentence."""
    hero = rng.choice(words("heroes"))
    return (
        f"{hero[0].upper()}{hero[1:]} {rng.choice(words('deeds'))} {rng.choice(words('places'))}."
    )


def new_title(rng: Random, taken: set[str]) -> str:
    """A title that is not in `taken`, whatever its case; it is added there."""
    while True:
        first, second = rng.sample(words("nouns"), 2)
        adjective = rng.choice(words("adjectives"))
        title = rng.choice(
            (
                f"The {adjective} {first}",
                f"{adjective} {first}",
                f"The {first} and the {second}",
                f"{first} of the {adjective} {second}",
                f"The {first}'s {second}",
            )
        )
        if title.lower() not in taken:
            taken.add(title.lower())
            return title


@cache
def _word_lists() -> dict[str, list[str]]:
    lists: dict[str, list[str]] = json.loads(_read("words.json"))
    return lists


def _read(name: str) -> str:
    return resources.files("aperture_db.sample").joinpath("data", name).read_text(encoding="utf-8")


FILM_RATINGS = ("G", "PG", "PG-13", "R", "NR")
SERIES_RATINGS = ("TV-G", "TV-PG", "TV-14", "TV-MA")
# Identifiers of TMDb, IMDb and TVDB that none of them has given out.
FIRST_TMDB_ID = 90_000_000
# As many films came with the newest sync, after the newest embedding job.
NEW_FILMS = 4
# Some invented films form series of films.
FRANCHISE_EVERY, FRANCHISE_LENGTH = 25, 3


@dataclass(frozen=True)
class Title:
    """A film or a series."""

    id: UUID
    number: int
    """Counts from 0 over films and over series; every other identifier is derived from it."""
    name: str
    year: int
    minutes: int
    """Running time of the film or of one episode."""
    content_rating: str
    genres: tuple[str, ...]
    directors: tuple[str, ...]
    actors: tuple[str, ...]
    country: str
    score: float
    """Average opinion, 0 to 10."""
    overview: str
    added_at: datetime

    @property
    def tmdb_id(self) -> int:
        return FIRST_TMDB_ID + self.number

    @property
    def languages(self) -> list[str]:
        return [_languages().get(self.country, "English")]


@dataclass(frozen=True)
class Film(Title):
    collection: str
    """Empty for most."""


@dataclass(frozen=True)
class Episode:
    id: UUID
    number: int
    season: int
    episode: int
    premiere: date


@dataclass(frozen=True)
class Show(Title):
    end_year: int | None
    network: str
    episodes: tuple[Episode, ...]


def make_films(rng: Random, clock: Clock, count: int) -> list[Film]:
    known = read_table("films")
    if count < len(known):
        known = sorted(rng.sample(known, count), key=lambda row: row["year"])
    rows = known + list(
        _invented_films(rng, {row["title"].lower() for row in known}, len(known), count)
    )
    new = set(rng.sample(range(count), NEW_FILMS))
    return [
        _film(rng, number, row, clock.movie_sync if number in new else clock.arrival(rng))
        for number, row in enumerate(rows)
    ]


def _film(rng: Random, number: int, row: dict[str, str], added_at: datetime) -> Film:
    is_known = "overview" not in row
    return Film(
        id=new_id(rng),
        number=number,
        name=row["title"],
        year=int(row["year"]),
        minutes=int(row["minutes"]),
        content_rating=row["rating"],
        genres=_words(row["genres"]),
        directors=_words(row["directors"]),
        actors=_words(row["actors"]),
        country=row["country"],
        score=_score(rng, 7.6 if is_known else 6.2),
        overview=_known_overview(row) if is_known else row["overview"],
        collection=row["collection"],
        added_at=added_at,
    )


def _invented_films(
    rng: Random, taken: set[str], first: int, count: int
) -> Iterator[dict[str, str]]:
    franchise = ""
    for number in range(first, count):
        name = new_title(rng, taken)
        if number % FRANCHISE_EVERY == 0:
            franchise = f"{name} Collection"
        yield {
            "title": name,
            "year": str(max(rng.randint(1950, 2025), rng.randint(1970, 2025))),
            "minutes": str(rng.randint(75, 165)),
            "rating": rng.choice(FILM_RATINGS),
            "genres": _invented_genres(rng),
            "directors": person(rng),
            "actors": _invented_cast(rng),
            "country": rng.choice(words("countries")),
            "collection": franchise if number % FRANCHISE_EVERY < FRANCHISE_LENGTH else "",
            "overview": plot(rng),
        }


def make_shows(
    rng: Random, clock: Clock, count: int, episodes_per_series: int | None
) -> list[Show]:
    known = read_table("series")
    if count < len(known):
        known = sorted(rng.sample(known, count), key=lambda row: row["year"])
    taken = {row["title"].lower() for row in known}
    shows: list[Show] = []
    first_episode = 0
    for number in range(count):
        row = known[number] if number < len(known) else _invented_series_row(rng, taken)
        shows.append(_show(rng, clock, number, row, first_episode, episodes_per_series))
        first_episode += len(shows[-1].episodes)
    return shows


def _show(
    rng: Random,
    clock: Clock,
    number: int,
    row: dict[str, str],
    first_episode: int,
    wanted: int | None,
) -> Show:
    year = int(row["year"])
    end_year = int(row["end_year"]) if row["end_year"] else None
    seasons = _seasons(wanted) if wanted else [int(n) for n in row["seasons"].split(",")]
    return Show(
        id=new_id(rng),
        number=number,
        name=row["title"],
        year=year,
        minutes=int(row["minutes"]),
        content_rating=row["rating"],
        genres=_words(row["genres"]),
        directors=(),
        actors=_words(row.get("actors", "")),
        country=row["country"],
        score=_score(rng, 7.8),
        overview=row.get("overview") or _known_overview(row),
        added_at=clock.arrival(rng),
        end_year=end_year,
        network=row["network"],
        episodes=tuple(_episodes(rng, first_episode, year, end_year or 2025, seasons)),
    )


def _episodes(
    rng: Random, first: int, year: int, end_year: int, seasons: list[int]
) -> Iterator[Episode]:
    """Weekly episodes; the seasons are spread over the years of the series."""
    number = first
    for index, count in enumerate(seasons):
        season_year = year + round(index * (end_year - year) / len(seasons))
        start = date(season_year, 1 + (number + index) % 9, 3)
        for episode in range(count):
            yield Episode(
                new_id(rng), number, index + 1, episode + 1, start + timedelta(weeks=episode)
            )
            number += 1


def _invented_series_row(rng: Random, taken: set[str]) -> dict[str, str]:
    year = rng.randint(1975, 2023)
    seasons = rng.randint(1, 6)
    return {
        "title": new_title(rng, taken),
        "year": str(year),
        "end_year": str(min(year + seasons, 2025)) if rng.random() < 0.8 else "",
        "minutes": str(rng.choice((24, 30, 45, 58))),
        "rating": rng.choice(SERIES_RATINGS),
        "genres": _invented_genres(rng),
        "network": rng.choice(words("networks")),
        "country": rng.choice(words("countries")),
        "actors": _invented_cast(rng),
        "overview": plot(rng),
        "seasons": ",".join([str(rng.randint(6, 10))] * seasons),
    }


def _seasons(episodes: int) -> list[int]:
    """Seasons of ten, the last one shorter."""
    full, rest = divmod(episodes, 10)
    return [10] * full + ([rest] if rest else [])


def _known_overview(row: dict[str, str]) -> str:
    first, *others = _words(row["genres"])
    text = f"{_listing([first, *map(str.lower, others)])} from {row['year']}"
    if directors := _words(row.get("directors", "")):
        text += f", directed by {_listing(directors)}"
    if actors := _words(row.get("actors", "")):
        text += f", with {_listing(actors)}"
    return f"{text}."


def _listing(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _invented_genres(rng: Random) -> str:
    return ",".join(rng.sample(words("genres"), rng.choice((1, 2, 2, 3))))


def _invented_cast(rng: Random) -> str:
    return ",".join(person(rng) for _ in range(4))


def _score(rng: Random, middle: float) -> float:
    return round(min(9.6, max(3.0, rng.gauss(middle, 0.7))), 1)


@cache
def _languages() -> dict[str, str]:
    """The language of a country's films, where it isn't English."""
    return {row["country"]: row["language"] for row in read_table("languages")}


def new_id(rng: Random) -> UUID:
    return UUID(int=rng.getrandbits(128), version=4)
