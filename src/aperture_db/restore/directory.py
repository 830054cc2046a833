"""Where the backup of what a restore replaces goes."""

from __future__ import annotations

from pathlib import Path

from aperture_db.backup.directory import BackupDirectory, choose_directory, require_directory
from aperture_db.backup.settings import read_settings
from aperture_db.connection import Connection


def safety_directory(conn: Connection, option: Path | None, dump: Path) -> Path:
    """The user's directory, else Aperture's where this machine has it, else that of the dump.

    Raises ApertureDbError for a directory of the user's that is not there.
    """
    directory = choose_directory(option, read_settings(conn))
    if not directory.is_chosen and not directory.path.is_dir():
        directory = BackupDirectory(dump.absolute().parent, "the dump's directory", is_chosen=True)
    require_directory(directory)
    return directory.path
