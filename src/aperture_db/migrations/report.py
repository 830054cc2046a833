"""What a run of migrate did."""

from __future__ import annotations

from dataclasses import dataclass


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
