"""What tells a title from every other, and what relink found and did: plain results."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
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

    @property
    def names(self) -> frozenset[str]:
        """Title and original title, folded."""
        return self.undated | {name for name, _ in self.titles}


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
    its item ids out again makes Aperture overwrite rows with other titles. A year may be filled
    in later."""
    agrees = (
        agreeing_ids(old, new)
        or (old.names & new.names and not years_differ(old, new))
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


class Evidence(StrEnum):
    """The reason for a match; the words are shown to the user."""

    DECIDED = "--match"
    SAME_ID = "same id"
    IMDB = ExternalId.IMDB.value
    TMDB = ExternalId.TMDB.value
    TVDB = ExternalId.TVDB.value
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

OF_EXTERNAL_ID = {each: Evidence(each.value) for each in ExternalId}


class RowOrigin(StrEnum):
    """How rows came to be kept."""

    PURGE = "purge"
    """They are deleted in the same transaction."""
    KEEP = "keep"
    """They were left in place."""
    IMPORT = "import"


@dataclass(frozen=True)
class KeptCounts:
    """What is kept by one purge, or by one `relink --keep`."""

    titles: Mapping[str, int]
    """By their tables."""
    rows: Mapping[str, int]
    """By their tables."""

    @property
    def total_rows(self) -> int:
        return sum(self.rows.values())

    @property
    def total_titles(self) -> int:
        return sum(self.titles.values())


@dataclass(frozen=True)
class RelinkOptions:
    """What an administrator can ask for besides what is put back anyway."""

    watch_history: bool = False
    similarity: bool = False
    """Verdicts of the AI about pairs of titles, which were paid for."""
    locked_profiles: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The options of the command that asks for the same."""
        chosen = {
            "--include-watch-history": self.watch_history,
            "--include-similarity": self.similarity,
            "--include-locked": self.locked_profiles,
        }
        return tuple(word for word, is_chosen in chosen.items() if is_chosen)


class RowState(StrEnum):
    """What a relink would do with a kept row; the words are shown to the user."""

    READY = "ready"
    TITLE_PENDING = "title pending"
    USER_MISSING = "user missing"
    RETURNS = "returns with a sync"
    NOT_REQUESTED = "not requested"
    IN_PLACE = "in place"
    """Still there, or kept without a purge and deleted by its user."""
    ENDED = "no longer wanted"
    """The user has removed the series from the favorites since."""


@dataclass(frozen=True)
class TitleCounts:
    """The kept titles of one kind."""

    kind: Media
    kept: int
    matched: dict[Evidence, int]
    pending: dict[Reason, int]

    @property
    def matched_count(self) -> int:
        return sum(self.matched.values())


@dataclass(frozen=True)
class RowCounts:
    """The kept rows of one user in one table."""

    user: str
    table: str
    states: dict[RowState, int]


@dataclass(frozen=True)
class ReferenceCounts:
    """The rows of one owner in one table that name titles by their old ids."""

    user: str | None
    """None where the rows are nobody's."""
    table: str
    rows: int
    """With ids that can be replaced."""
    waiting: int
    """With ids of kept titles that are pending."""


@dataclass(frozen=True)
class TitleChoice:
    """A title that a person can choose for a pending one."""

    new_id: UUID
    title: str


@dataclass(frozen=True)
class PendingTitle:
    """A kept title that is not matched, though something of a user waits for it."""

    old_id: UUID
    kind: Media
    title: str
    reason: Reason
    text: str
    waiting_rows: int
    candidates: tuple[TitleChoice, ...]


@dataclass(frozen=True)
class RelinkPlan:
    """What is kept, and what a relink would put back now."""

    database: str
    titles: tuple[TitleCounts, ...]
    rows: tuple[RowCounts, ...]
    references: tuple[ReferenceCounts, ...]
    pending: tuple[PendingTitle, ...]
    unneeded_pending: int
    """Pending titles that nothing of a user waits for."""
    remarks: tuple[str, ...]
    """Matches in spite of a difference, and what follows from putting rows back."""
    ready_rows: int
    """Rows that would be put back or updated."""
    waiting_rows: int
    """Rows that would still wait afterwards."""
    options: RelinkOptions = field(default=RelinkOptions(), metadata={"json": False})


@dataclass(frozen=True)
class PendingTitles:
    """The pending titles that something of a user waits for."""

    titles: tuple[PendingTitle, ...]


@dataclass(frozen=True)
class RelinkOutcome:
    """What a relink did. It is committed."""

    put_back: dict[str, int]
    """Rows by their tables."""
    already_there: dict[str, int]
    """Rows that were not put back because another row was there, by their tables."""
    updated: dict[str, int]
    """Rows whose ids of titles were replaced, by their tables."""
    ended: dict[str, int]
    """Rows that wait no longer: their users have removed the series from the favorites."""
    aged_profiles: int
    """Taste profiles that the next recommendations rebuild."""
    duration_seconds: float


@dataclass(frozen=True)
class RelinkReport:
    """The plan, and the outcome: None where nothing was to be done."""

    plan: RelinkPlan
    outcome: RelinkOutcome | None = None
