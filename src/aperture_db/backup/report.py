"""The results of `backup`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class Backup:
    """A new dump."""

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
    refusal: str | None
    """The reason why `restore` would not take it, although pg_restore can read it; None for one
    that was verified."""


@dataclass(frozen=True)
class BackupMade:
    """The dump was read to its end and has its name."""

    backup: Backup


@dataclass(frozen=True)
class BackupReport:
    """The result of `aperture-db backup`."""

    backup: Backup
    keep: int
    pruned: tuple[Path, ...]
    spared: Path | None
    """An older backup beyond `keep` that was not pruned: it holds much more than those kept."""
    is_recorded: bool
    """Aperture's backup_config names the new backup, which is in its backup_path."""


@dataclass(frozen=True)
class BackupFinished:
    """The backup is recorded, and older ones are pruned."""

    report: BackupReport
