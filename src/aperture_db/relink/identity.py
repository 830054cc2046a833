"""What tells a film, series or episode from every other, and what two of them agree in."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from aperture_db.aperture.kinds import Media

IMDB_DIGITS = 7


class ExternalId(StrEnum):
    """Ids at catalogs, the most trusted first; the words are shown to the user."""

    IMDB = "IMDb id"
    TMDB = "TMDb id"
    TVDB = "TVDB id"


@dataclass(frozen=True, eq=False)
class TitleIdentity:
    """A title as Aperture's tables have it: texts unnormalised, as the media server sent them.

    Two objects are never equal: one id can have been kept as two titles.
    """

    id: UUID
    kind: Media
    title: str
    year: int | None = None
    original_title: str | None = None
    imdb_id: str | None = None
    tmdb_id: str | None = None
    tvdb_id: str | None = None
    path: str | None = None
    item_id: str | None = None
    """Its id on the media server, which means nothing without `server`."""
    server: str | None = None
    """Type and base URL of the media server."""
    series_id: UUID | None = None
    """Of an episode: the id of its series, kept or present as the episode is."""
    season: int | None = None
    episode: int | None = None
    premiere_date: date | None = None
    kept_at: datetime | None = None
    """When it was kept; None for a title that is present."""

    def __str__(self) -> str:
        return f"{self.title} ({self.year})" if self.year is not None else self.title


@dataclass(frozen=True)
class Keys:
    """A title's identity in a form that can be compared."""

    external: dict[ExternalId, str]
    """The ids that it has."""
    path: str | None
    titles: frozenset[tuple[str, int]]
    """Title and original title, folded, each with the year; empty without a year."""
    undated: frozenset[str]
    """The same without a year; empty with one."""


def keys_of(identity: TitleIdentity) -> Keys:
    """Normalise an identity for comparison."""
    external = {
        ExternalId.IMDB: _external(identity.imdb_id),
        ExternalId.TMDB: _external(identity.tmdb_id),
        # Only series have ids at TVDB in Aperture.
        ExternalId.TVDB: _external(identity.tvdb_id) if identity.kind is Media.SERIES else None,
    }
    names = {fold(name) for name in (identity.title, identity.original_title) if name} - {""}
    year = identity.year
    return Keys(
        {catalog: value for catalog, value in external.items() if value is not None},
        unicodedata.normalize("NFC", identity.path).rstrip("/") or None if identity.path else None,
        frozenset((name, year) for name in names) if year is not None else frozenset(),
        frozenset(names) if year is None else frozenset(),
    )


def fold(title: str) -> str:
    """A title without case, composition and spacing; PostgreSQL's lower() depends on the
    collation and leaves all but ASCII alone in "C"."""
    if title.isascii():
        return " ".join(title.lower().split())
    # Folding can leave a text that is no longer composed.
    composed = unicodedata.normalize("NFC", title).casefold()
    return " ".join(unicodedata.normalize("NFC", composed).split())


def agreeing_ids(one: Keys, other: Keys) -> set[ExternalId]:
    return {each for each, value in one.external.items() if other.external.get(each) == value}


def conflicting_ids(one: Keys, other: Keys) -> set[ExternalId]:
    """The catalogs in which both have an id, and not the same."""
    return {
        each for each, value in one.external.items() if other.external.get(each, value) != value
    }


def conflict(old: Keys, new: Keys) -> str:
    """What forbids the match in words; empty when nothing does. An id that differs is forgiven
    where another id and title and year agree: catalogs correct their ids."""
    differing = conflicting_ids(old, new)
    if not differing or (agreeing_ids(old, new) and old.titles & new.titles):
        return ""
    return differences(old, new)


def differences(old: Keys, new: Keys) -> str:
    return "; ".join(
        f"its {each} is {new.external[each]}, kept was {old.external[each]}"
        for each in ExternalId
        if each in conflicting_ids(old, new)
    )


def years_differ(one: Keys, other: Keys) -> bool:
    years = [{year for _, year in keys.titles} for keys in (one, other)]
    return all(years) and years[0].isdisjoint(years[1])


def is_same_row(old: Keys, new: Keys) -> bool:
    """Whether the row with a kept title's id still holds that title. A media server that gives
    its item ids out again makes Aperture overwrite rows with other titles."""
    agrees = (
        agreeing_ids(old, new)
        or old.titles & new.titles
        or old.undated & new.undated
        or (old.path is not None and old.path == new.path)
    )
    return bool(agrees) and not conflict(old, new)


def is_same_title(one: Keys, other: Keys) -> bool:
    """Whether two titles that were there at the same time are certainly the same."""
    return bool(agreeing_ids(one, other)) and not conflicting_ids(one, other)


def described(title: TitleIdentity) -> str:
    """A title with its ids, which tell it from its namesakes."""
    ids = [f"{each} {value}" for each, value in keys_of(title).external.items()]
    return f"{title} [{', '.join(ids)}]" if ids else str(title)


def _external(value: str | None) -> str | None:
    """An id in its usual form; None for placeholders such as 0 and tt0000000."""
    text = value.strip().casefold() if value else ""
    prefix = "tt" if text.startswith("tt") else ""
    digits = text.removeprefix(prefix).lstrip("0")
    return prefix + (digits.zfill(IMDB_DIGITS) if prefix else digits) if digits else None
