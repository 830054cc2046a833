"""Rows of Aperture's database that can be deleted safely: their kinds, and the results of counting
and deleting them.

`collect` counts and `apply` deletes, both by what `targets` says of a kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

DAY_SECONDS = 86_400.0
# The longest time for which Aperture uses a cached row (of posters).
LONGEST_TTL_SECONDS = 7 * DAY_SECONDS


class Kind(StrEnum):
    """The names of the kinds, as the command line takes them."""

    ORPHANS = "orphans"
    EXPIRED_SESSIONS = "expired-sessions"
    LEGACY_EMBEDDINGS = "legacy-embeddings"
    STALE_EMBEDDINGS = "stale-embeddings"
    JOB_HISTORY = "job-history"
    OLD_RUNS = "old-runs"
    DEAD_JOBS = "dead-jobs"
    OLD_CACHE = "old-cache"
    API_ERRORS = "api-errors"


DESCRIPTIONS: Mapping[Kind, str] = {
    Kind.ORPHANS: "cached verdicts on titles that are gone",
    Kind.EXPIRED_SESSIONS: "expired logins",
    Kind.LEGACY_EMBEDDINGS: "left over by migration 0078 and no longer read",
    Kind.STALE_EMBEDDINGS: "embeddings of models that are not in use",
    Kind.JOB_HISTORY: "job runs beyond the newest of each job",
    Kind.OLD_RUNS: "recommendation runs replaced by newer ones",
    Kind.DEAD_JOBS: "schedules of jobs that no longer exist",
    Kind.OLD_CACHE: "cached rows that were not refreshed for long",
    Kind.API_ERRORS: "dismissed or old errors of other services",
}


@dataclass(frozen=True)
class CleanLimits:
    """How much of each history and cache is kept."""

    runs_per_job: int = 100
    """Newest runs of each job; its newest completed run is kept in any case."""
    cache_age_seconds: float = 30 * DAY_SECONDS
    """Cached rows refreshed within this time are kept."""
    error_age_seconds: float = 90 * DAY_SECONDS
    """Errors are kept for this time; dismissed ones for a week."""


class DeleteStrategy(StrEnum):
    """The statement that deletes the rows of a table."""

    DELETE = "delete"
    """Row by row: VACUUM then makes the space reusable, VACUUM FULL returns it to the disk."""
    TRUNCATE = "truncate"
    """The whole table: the space returns to the disk at once."""


@dataclass(frozen=True)
class TablePart:
    """The rows of one table that can be deleted."""

    table: str
    rows: int
    size_bytes: int
    """Their space beyond that of an empty table. Exact with TRUNCATE; otherwise their share of the
    table, by the width of their values, and of its indexes, by their number."""
    way: DeleteStrategy


@dataclass(frozen=True)
class KindReport:
    """The rows of one kind that can be deleted."""

    kind: Kind
    description: str
    rows: int | None
    """None if it is unknown."""
    size_bytes: int | None
    is_size_exact: bool
    tables: tuple[TablePart, ...] = ()
    unknown: str | None = None
    """The reason if `rows` is None."""
    grant: str | None = None
    """The SQL for an administrator to run if a privilege is missing, or rows are hidden."""
    hides_rows: bool = field(default=False, metadata={"json": False})
    """Row-level security keeps the role from counting."""
    note: str | None = None
    """A warning to read before deleting."""


@dataclass(frozen=True)
class CleanReport:
    """Everything that can be deleted, by kind."""

    database: str
    kinds: tuple[KindReport, ...]
    limits: CleanLimits
    active_model: str | None = field(default=None, metadata={"json": False})
    """The model whose embeddings are kept."""

    @property
    def rows(self) -> int:
        return sum(kind.rows or 0 for kind in self.kinds)

    @property
    def unknown(self) -> tuple[KindReport, ...]:
        return tuple(kind for kind in self.kinds if kind.unknown)

    @property
    def size_bytes(self) -> int:
        return sum(kind.size_bytes or 0 for kind in self.kinds)

    @property
    def is_size_exact(self) -> bool:
        return all(kind.is_size_exact for kind in self.kinds if kind.rows)


@dataclass(frozen=True)
class CleanedTable:
    """The rows deleted from one table."""

    table: str
    rows: int
    freed_bytes: int
    """Returned to the disk."""
    reusable_bytes: int
    """Reusable by this table after VACUUM, as the plan estimated it."""


@dataclass(frozen=True)
class CleanedKind:
    """The rows deleted of one kind."""

    kind: Kind
    tables: tuple[CleanedTable, ...]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True)
class CleanResult:
    """The result of `--apply`."""

    database: str
    kinds: tuple[CleanedKind, ...]
    duration_seconds: float
    next_steps: tuple[str, ...]
    """Commands that make the space of the deleted rows reusable."""

    @property
    def rows(self) -> int:
        return sum(kind.rows for kind in self.kinds)

    @property
    def freed_bytes(self) -> int:
        return sum(table.freed_bytes for kind in self.kinds for table in kind.tables)


@dataclass(frozen=True)
class BatchDeleted:
    """Event: a batch of rows is deleted and committed."""

    kind: Kind
    table: CleanedTable
    """All rows deleted from the table so far."""
    planned_rows: int
