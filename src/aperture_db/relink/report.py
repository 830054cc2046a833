"""What relink found and did: plain results, for the table and for --json."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aperture_db.relink.identity import ExternalId, TitleIdentity


class Evidence(StrEnum):
    """The reason for a match; the words are shown to the user."""

    DECIDED = "--match"
    SAME_ID = "same id"
    IMDB = "IMDb id"
    TMDB = "TMDb id"
    TVDB = "TVDB id"
    PATH = "path"
    TITLE = "title and year"
    ITEM = "item id and title"
    EPISODE = "series, season and number"
    KEPT_LATER = "a title kept later"


class Reason(StrEnum):
    """The reason why a title stays pending."""

    NOT_FOUND = "not found"
    AMBIGUOUS = "ambiguous"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True)
class Match:
    old: TitleIdentity
    new: TitleIdentity
    evidence: Evidence
    remark: str = ""
    """What differs although it is the same title."""


@dataclass(frozen=True)
class Pending:
    old: TitleIdentity
    reason: Reason
    text: str
    """The reason in words, with the titles that it is about."""
    candidates: tuple[TitleIdentity, ...] = ()
    """For a person to choose from with --match."""


Result = Match | Pending

OF_EXTERNAL_ID = {
    ExternalId.IMDB: Evidence.IMDB,
    ExternalId.TMDB: Evidence.TMDB,
    ExternalId.TVDB: Evidence.TVDB,
}
