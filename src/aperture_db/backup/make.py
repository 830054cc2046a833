"""A backup as `aperture-db backup` makes it: the dump, Aperture's record of it, the retention."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from aperture_db.backup.create import Backup, BackupMade, create
from aperture_db.backup.directory import BackupDirectory, require_directory
from aperture_db.backup.listing import list_backups
from aperture_db.backup.retention import choose_expired
from aperture_db.backup.settings import record_backup
from aperture_db.postgres.connection import Connection
from aperture_db.postgres.driver_errors import translate_query_error
from aperture_db.postgres.target import Target
from aperture_db.progress import Event, Warned


@dataclass(frozen=True)
class BackupReport:
    """What a run did."""

    backup: Backup
    keep: int
    pruned: tuple[Path, ...]
    is_recorded: bool
    """Aperture's backup_config knows of it."""


@dataclass(frozen=True)
class Finished:
    """All of it is done."""

    report: BackupReport


def make_backup(
    target: Target,
    conn: Connection,
    directory: BackupDirectory,
    *,
    keep: int,
    lock_timeout_seconds: float,
) -> Generator[Event | BackupMade | Finished, None, None]:
    """Make a backup, record it, then remove the ones beyond `keep`. The last event is Finished.

    Once the dump is made nothing more fails: what can't be recorded or removed is a warning.
    """
    require_directory(directory)
    backup: Backup | None = None
    for event in create(target, conn, directory.path, lock_timeout_seconds=lock_timeout_seconds):
        if isinstance(event, BackupMade):
            backup = event.backup
        yield event
    assert backup is not None
    is_recorded = False
    try:
        is_recorded = record_backup(conn, backup.path.name, backup.size_bytes, backup.made_at)
    except psycopg.Error as error:
        reason = translate_query_error(error, target, writes=True).why
        yield Warned(
            f"backup_config was not updated, so Aperture's page shows no new date: {reason}"
        )
    pruned = []
    listed = list_backups(directory)
    for expired in choose_expired(listed.backups, keep, backup.path):
        try:
            expired.path.unlink()
        except OSError as error:
            yield Warned(f"the old backup {expired.path} could not be removed: {error.strerror}")
        else:
            pruned.append(expired.path)
    yield Finished(BackupReport(backup, keep, tuple(pruned), is_recorded))
