"""Where the backup of what a restore replaces goes."""

from __future__ import annotations

from pathlib import Path

from aperture_db.backup.directory import BackupDirectory, choose_directory, require_writable
from aperture_db.backup.settings import BackupSettings


def safety_directory(settings: BackupSettings | None, option: Path | None, dump: Path) -> Path:
    """The user's directory, else Aperture's where this machine has it, else that of the dump.

    Raises ApertureDbError for one that is not there or takes no file.
    """
    directory = choose_directory(option, settings)
    if not directory.is_chosen and not directory.path.is_dir():
        directory = BackupDirectory(dump.absolute().parent, "the dump's directory", is_chosen=True)
    require_writable(directory)
    return directory.path
