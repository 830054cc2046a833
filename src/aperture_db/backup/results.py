"""The results of backups: files in a directory, and new dumps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from aperture_db.dumps.files import Purpose


@dataclass(frozen=True)
class BackupDirectory:
    """The directory for backups, and the source of its path."""

    path: Path
    source: str
    """In words for the user."""
    is_chosen: bool
    """Named by the user and so a path of this machine; else a path in Aperture's container."""


class BackupState(StrEnum):
    """The state of a file, as far as it is known without reading all of it."""

    COMPLETE = "complete"
    """Ours, with a checksum for a file of this size."""
    UNCHECKED = "not checked"
    """Without our checksum; only the first bytes were read."""
    EMPTY = "empty"
    DAMAGED = "damaged"
    UNREADABLE = "not readable"


@dataclass(frozen=True)
class ListedBackup:
    """A file with a name that Aperture or this tool gives to dumps."""

    path: Path
    purpose: Purpose
    made_at: datetime
    """From the name, else the modification time of the file."""
    size_bytes: int
    compression: str | None
    """The method, as the first bytes tell; None where they do not."""
    state: BackupState
    has_own_name: bool
    """The name is exactly one that this tool gives: nobody renamed the file."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def is_ours(self) -> bool:
        """Made by this tool, complete, and not renamed."""
        return self.state is BackupState.COMPLETE and self.has_own_name


@dataclass(frozen=True)
class BackupList:
    """The backups in a directory, newest first."""

    directory: Path
    backups: tuple[ListedBackup, ...]

    @property
    def total_bytes(self) -> int:
        return sum(backup.size_bytes for backup in self.backups)


@dataclass(frozen=True)
class Backup:
    """A new dump that was verified."""

    path: Path
    made_at: datetime
    size_bytes: int
    compression: str
    """Method and level as pg_dump takes them: zstd:3."""
    table_count: int
    row_count: int
    last_migration: str | None
    server_version: str
    pg_dump_version: str
    duration_seconds: float


@dataclass(frozen=True)
class BackupMade:
    """The dump is verified and has its name."""

    backup: Backup


@dataclass(frozen=True)
class BackupReport:
    """The result of `aperture-db backup`."""

    backup: Backup
    keep: int
    pruned: tuple[Path, ...]
    is_recorded: bool
    """Aperture's backup_config names the new backup, which is in its backup_path."""


@dataclass(frozen=True)
class BackupFinished:
    """The backup is recorded, and older ones are pruned."""

    report: BackupReport
