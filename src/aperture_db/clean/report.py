"""What can go, and what went."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from aperture_db.aperture import ActiveModel
from aperture_db.clean.kinds import Kind, Limits


class Way(StrEnum):
    """How the rows of a table go."""

    DELETE = "delete"
    """Row by row: VACUUM then makes the space reusable, VACUUM FULL gives it back."""
    TRUNCATE = "truncate"
    """All at once: the space is given back to the disk."""


@dataclass(frozen=True)
class TablePart:
    """The rows of one table that can go."""

    table: str
    rows: int
    size_bytes: int
    """What they take beyond an empty table. Exact with TRUNCATE; otherwise their share of the
    table, by the width of their values, and of its indexes, by their number."""
    way: Way


@dataclass(frozen=True)
class KindReport:
    """How much of one kind can go."""

    kind: Kind
    description: str
    rows: int | None
    """None where it can't be known."""
    size_bytes: int | None
    is_size_exact: bool
    tables: tuple[TablePart, ...] = ()
    unknown: str | None = None
    """Why `rows` is None."""
    grant: str | None = None
    """What an administrator runs where a privilege is missing."""
    note: str | None = None
    """What to know before deleting."""


@dataclass(frozen=True)
class CleanReport:
    """Everything that can go, kind by kind."""

    database: str
    kinds: tuple[KindReport, ...]
    limits: Limits
    active_model: ActiveModel | None = field(default=None, metadata={"json": False})
    """Of the embeddings that stay."""

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
    """What went from one table."""

    table: str
    rows: int
    freed_bytes: int
    """Given back to the disk."""
    reusable_bytes: int
    """Reusable by this table after VACUUM: the plan's estimate."""


@dataclass(frozen=True)
class CleanedKind:
    """What went of one kind."""

    kind: Kind
    tables: tuple[CleanedTable, ...]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True)
class CleanResult:
    """What `--apply` did."""

    database: str
    kinds: tuple[CleanedKind, ...]
    duration_seconds: float
    next_steps: tuple[str, ...]
    """Commands that make the space of deleted rows reusable."""

    @property
    def rows(self) -> int:
        return sum(kind.rows for kind in self.kinds)

    @property
    def freed_bytes(self) -> int:
        return sum(table.freed_bytes for kind in self.kinds for table in kind.tables)
