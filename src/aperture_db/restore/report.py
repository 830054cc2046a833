"""The choices and the results of `restore`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aperture_db.backup.report import Backup


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
    is_behind: bool
    """The database was at a later migration before the restore."""
    undo_command: str | None
    duration_seconds: float
    findings: tuple[str, ...] = ()
    """Results of the final checks that call for a step before Aperture is started."""


@dataclass(frozen=True)
class Restored:
    """The dump is restored, compared and committed."""

    report: RestoreReport


@dataclass(frozen=True)
class DrillReport:
    """The result of `restore --drill`."""

    path: Path
    made_at: datetime | None
    size_bytes: int
    scratch_database: str
    """Its name. It was dropped."""
    database_bytes: int
    """Size of the restored database."""
    table_count: int
    row_count: int
    last_migration: str | None
    is_compared_with_live: bool
    """The structure was compared with the real database's, being of the same migration."""
    differences: tuple[str, ...]
    """Objects of only one of the two, or defined differently."""
    findings: tuple[str, ...]
    """Results of the final checks of a restore, made in the scratch database."""
    restore_seconds: float
    duration_seconds: float
    is_recorded: bool
