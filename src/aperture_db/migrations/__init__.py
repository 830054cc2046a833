"""Brings Aperture's schema up to date from a directory of plain SQL files.

Tracking is Aperture's own table `aperture_migrations`, so that the app and this tool skip what
the other applied. Each file and its record share one transaction. Here is what migrate finds and
does, as data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    """Where a migration stands."""

    APPLIED = "applied"
    PENDING = "pending"
    UNKNOWN = "unknown"
    """Recorded in the database, but not in the directory: a newer Aperture's, or a branch's."""


@dataclass(frozen=True)
class Migration:
    """One line of the status; `applied_at` is None for what is pending."""

    name: str
    state: State
    applied_at: datetime | None


@dataclass(frozen=True)
class MigrationStatus:
    """The records of a database against the files of a directory."""

    directory: str
    migrations: tuple[Migration, ...]
    """All of them in order of their names."""
    is_tracked: bool
    """Whether the table aperture_migrations exists."""
    has_untracked_schema: bool
    """Whether Aperture's tables exist without a single record: nobody knows their version."""

    def names(self, state: State) -> tuple[str, ...]:
        return tuple(m.name for m in self.migrations if m.state is state)

    @property
    def pending(self) -> tuple[str, ...]:
        return self.names(State.PENDING)

    @property
    def late(self) -> tuple[str, ...]:
        """Pending files that sort before an applied one."""
        applied = self.names(State.APPLIED)
        return tuple(name for name in self.pending if applied and name < max(applied))


@dataclass(frozen=True)
class AppliedMigration:
    """A file that this run applied."""

    name: str
    duration_seconds: float


@dataclass(frozen=True)
class MigrateReport:
    """The outcome of a run, complete or up to its failure."""

    applied: tuple[AppliedMigration, ...]
    applied_elsewhere: tuple[str, ...]
    """Files that another runner applied while this one wanted to."""
    pending: tuple[str, ...]
    """What is left to apply, for instance because of --to."""
    recorded_count: int
    """How many of the directory's files are recorded now."""
    is_rehearsal: bool
    """Whether everything was rolled back in the end."""
    duration_seconds: float


@dataclass(frozen=True)
class DryRun:
    """What a run would apply."""

    pending: tuple[str, ...]


@dataclass(frozen=True)
class MarkedMigrations:
    """Files that were recorded without being run."""

    marked: tuple[str, ...]
