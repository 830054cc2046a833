"""The results of `stats`. Rows are counted exactly unless marked otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aperture_db.aperture.kinds import Group, Media


class Unknown(StrEnum):
    """The reason why a number is unknown."""

    ABSENT = "absent"
    """The table came with a later migration, or was dropped."""
    NO_PRIVILEGE = "no_privilege"
    HIDDEN = "hidden"
    """Row-level security hides rows from the role."""
    LOCKED = "locked"
    NOT_ANALYZED = "not_analyzed"
    """It was never analyzed, so there is no estimate."""
    NOT_COUNTED = "not_counted"
    """Left out by --estimate, because the table would have to be read."""
    ELSEWHERE = "elsewhere"
    """A foreign table: its rows are on another server."""


@dataclass(frozen=True)
class Count:
    rows: int | None
    exact: bool = True
    unknown: Unknown | None = None
    """The reason why `rows` is None."""


def unknown_count(reason: Unknown) -> Count:
    return Count(None, exact=False, unknown=reason)


@dataclass(frozen=True)
class DatabaseFacts:
    name: str
    role: str
    server_version: str
    is_standby: bool
    read_at: datetime
    is_aperture: bool
    migrations_applied: int | None
    """Rows of aperture_migrations; None where they can't be read."""
    newest_migration: str | None


@dataclass(frozen=True)
class Overview:
    """The counts of Aperture's own statistics page, and some more."""

    movies: Count
    movies_in_libraries: Count
    """Those of enabled libraries: all, as long as no library of films is configured."""
    series: Count
    series_in_libraries: Count
    episodes: Count
    users: Count
    users_enabled: Count
    embeddings: Count
    """Of every kind, dimension and model, legacy copies included."""
    ratings: Count
    watch_history: Count
    recommendations: Count
    """Titles chosen by the newest completed run of each user and media type: what users see."""
    recommendation_candidates: Count
    """Everything that runs weighed, chosen or not, old runs included."""
    recommendation_runs: Count
    taste_profiles: Count
    conversations: Count
    messages: Count


@dataclass(frozen=True)
class Storage:
    """Disk space in bytes. Tables that could not be read are left out of the sums."""

    database_bytes: int | None
    """With the system catalogs; None without the privilege."""
    table_bytes: int
    """Heap and TOAST of all tables."""
    index_bytes: int
    """All indexes of all tables."""
    embeddings_bytes: int
    """Everything that embedding tables take: the sum of the next four."""
    embeddings_heap_bytes: int
    embeddings_toast_bytes: int
    embeddings_vector_index_bytes: int
    embeddings_other_index_bytes: int
    group_bytes: Mapping[str, int]
    """Tables with their indexes by kind of data: a Group's word, or `other` for tables that are
    not Aperture's; the largest first."""


class EmbeddingState(StrEnum):
    ACTIVE = "active"
    """Of the configured model, where Aperture reads it."""
    STALE = "stale"
    """Of another model."""
    LEGACY = "legacy"
    """In a table that migration 0078 left over; nothing reads it."""
    UNKNOWN = "unknown"
    """The configured model is not known."""


@dataclass(frozen=True)
class EmbeddingSet:
    """The embeddings of one kind, dimension and model."""

    media: Media
    dimension: int | None
    model: str | None
    """None where only the table's rows are known."""
    table: str
    count: Count
    state: EmbeddingState


@dataclass(frozen=True)
class Embeddings:
    active_model: str | None
    """provider:model, as the rows name it; None where none is configured or known."""
    active_dimension: int | None
    is_model_missing: bool
    """The settings were read, and name no model."""
    sets: tuple[EmbeddingSet, ...]
    """Those with rows, and those whose rows are unknown."""

    @property
    def active_provider(self) -> str:
        """Empty where the model is not known, or older than the names of providers."""
        provider, colon, _ = (self.active_model or "").partition(":")
        return provider if colon else ""

    def rows_in(self, state: EmbeddingState) -> int:
        return sum(item.count.rows or 0 for item in self.sets if item.state is state)


class Subject(StrEnum):
    """A part of the library that can be complete."""

    MOVIES = "movies"
    SERIES = "series"
    EPISODES = "episodes"
    USERS = "users"
    MOVIE_EMBEDDINGS = "movie embeddings"
    SERIES_EMBEDDINGS = "series embeddings"
    EPISODE_EMBEDDINGS = "episode embeddings"


@dataclass(frozen=True)
class Coverage:
    """The present and the expected count of a part of the library."""

    subject: Subject
    present: int | None
    expected: int | None
    """The number that the last complete sync reported, or of the items that need an embedding."""
    as_of: datetime | None
    """When the media server was last asked; None where both numbers are from now."""
    unknown: str | None
    """The reason why one of the numbers is unknown."""

    @property
    def missing(self) -> int:
        if self.present is None or self.expected is None:
            return 0
        return max(self.expected - self.present, 0)


@dataclass(frozen=True)
class Hint:
    """A conclusion from the counts, with its likely cause and the next step."""

    id: str
    """A stable word for scripts."""
    is_finding: bool
    """It needs action; otherwise it is only information."""
    message: str
    cause: str
    next: str
    """A command, SQL, or what to do in Aperture."""


@dataclass(frozen=True)
class StatsReport:
    database: DatabaseFacts
    overview: Overview
    storage: Storage
    embeddings: Embeddings
    coverage: tuple[Coverage, ...]
    """Empty with estimates, which are too inexact for it."""
    hints: tuple[Hint, ...]
    is_exact: bool
    """False with --estimate."""
    recorded_at: datetime | None = None
    """When this was kept as a sample; None without --record."""


@dataclass(frozen=True)
class TableStats:
    """One table; sizes are None where a lock kept them from being read."""

    schema: str
    name: str
    group: Group | None
    """None for a table that is not Aperture's."""
    count: Count
    heap_bytes: int | None
    index_bytes: int | None
    toast_bytes: int | None
    total_bytes: int | None
    dead_rows: int | None
    """As the server's statistics estimate them; None on a standby."""


@dataclass(frozen=True)
class TableTotals:
    """The sums over tables, of what is known."""

    tables: int
    count: Count
    is_complete: bool
    """False when rows of some table are unknown and so not in the sum."""
    heap_bytes: int
    index_bytes: int
    toast_bytes: int
    total_bytes: int
    dead_rows: int | None


@dataclass(frozen=True)
class TablesReport:
    """Every table, the largest first."""

    database: DatabaseFacts
    tables: tuple[TableStats, ...]
    total: TableTotals
    hints: tuple[Hint, ...]
    is_exact: bool
    """False with --estimate."""
