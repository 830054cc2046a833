"""What relink found and did: plain results, for the table and for --json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from aperture_db.aperture.kinds import Media
from aperture_db.relink.identity import ExternalId, TitleIdentity


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


class RowState(StrEnum):
    """What a relink would do with a kept row; the words are shown to the user."""

    READY = "ready"
    TITLE_PENDING = "title pending"
    USER_MISSING = "user missing"
    RETURNS = "returns with a sync"
    NOT_REQUESTED = "not requested"
    IN_PLACE = "in place"
    """Kept without a purge, and still there or deleted by its user."""
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
    aged_profiles: int
    """Taste profiles that the next recommendations rebuild."""
    duration_seconds: float


@dataclass(frozen=True)
class RelinkReport:
    """The plan, and the outcome: None where nothing was to be done."""

    plan: RelinkPlan
    outcome: RelinkOutcome | None = None
