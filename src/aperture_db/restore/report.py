"""How a restore is carried out, what it tells on the way, and what it did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aperture_db.backup.create import Backup


@dataclass(frozen=True)
class Options:
    """How a restore is carried out."""

    lock_timeout_seconds: float
    safety_directory: Path | None
    """Where the backup of what is replaced goes; None for no such backup."""
    terminate_sessions: bool


@dataclass(frozen=True)
class SafetyBackupMade:
    """What will be replaced has been saved."""

    backup: Backup


@dataclass(frozen=True)
class Committing:
    """Everything is in place and compared; the next step makes it final."""


@dataclass(frozen=True)
class Committed:
    """It is final."""


@dataclass(frozen=True)
class RestoreReport:
    """What a restore did."""

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
        """The database had seen later migrations than it has now."""
        return (self.last_migration or "") < (self.previous_migration or "")


@dataclass(frozen=True)
class Restored:
    """The dump is in the place of what was there, and compared with it."""

    report: RestoreReport
