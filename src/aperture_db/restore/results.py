"""The options and results of a restore."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aperture_db.backup.results import Backup


@dataclass(frozen=True)
class RestoreOptions:
    """The user's choices for a restore."""

    lock_timeout_seconds: float
    safety_directory: Path | None
    """The directory for the safety backup; None for no safety backup."""
    terminate_sessions: bool


@dataclass(frozen=True)
class SafetyBackupMade:
    """The present contents of the database are backed up."""

    backup: Backup


@dataclass(frozen=True)
class RestoreReport:
    """The result of a restore."""

    path: Path
    table_count: int
    row_count: int
    last_migration: str | None
    previous_migration: str | None
    safety_backup: Path | None
    undo_command: str | None
    duration_seconds: float

    @property
    def is_behind(self) -> bool:
        """The database was at a later migration before the restore."""
        return (self.last_migration or "") < (self.previous_migration or "")


@dataclass(frozen=True)
class Restored:
    """The dump is restored, compared and committed."""

    report: RestoreReport
