"""The directory that backups go to, and new files in it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aperture_db.backup.settings import DEFAULT_PATH, BackupSettings
from aperture_db.dumps.files import Purpose, make_name
from aperture_db.errors import ApertureDbError

PARTIAL_SUFFIX = ".partial"
# File systems without hard links: FAT, and many network shares.
NO_LINK_ERRORS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True)
class BackupDirectory:
    """Where backups are, and who says so."""

    path: Path
    source: str
    """In words for the user."""
    is_chosen: bool
    """Named by the user, and so meant for this machine; else a path of Aperture's container."""


def choose_directory(option: Path | None, settings: BackupSettings | None) -> BackupDirectory:
    """The user's directory, else the one of Aperture's settings, else Aperture's default."""
    if option is not None:
        return BackupDirectory(option.absolute(), "--dir", is_chosen=True)
    if settings is not None:
        path = Path(settings.backup_path)
        return BackupDirectory(path, "backup_config.backup_path", is_chosen=False)
    return BackupDirectory(Path(DEFAULT_PATH), "Aperture's default", is_chosen=False)


def require_directory(directory: BackupDirectory) -> None:
    """Raise ApertureDbError when it is not there. It is never made: an absent directory is
    mostly a volume that is not mounted."""
    if directory.path.is_dir():
        return
    what = f"the backup directory {directory.path} does not exist"
    if directory.path.exists():
        what = f"{directory.path} is not a directory"
    inside = "run it inside Aperture's container (docker exec aperture aperture-db …), or "
    raise ApertureDbError(
        what,
        why=f"it comes from {directory.source}"
        + ("" if directory.is_chosen else ", which is a path inside Aperture's container"),
        next_step=f"mkdir -p {directory.path}"
        if directory.is_chosen
        else f"{inside}name a directory of this machine with --dir",
        code="no_directory",
    )


def require_writable(directory: BackupDirectory) -> None:
    """Raise ApertureDbError when it is not there or takes no file, before any work is done."""
    require_directory(directory)
    with partial_file(directory.path):
        pass


def locate(file: Path, directory: BackupDirectory) -> Path:
    """The file, or the one of that name in the backup directory where only a name is given."""
    inside = directory.path / file
    is_bare_name = file.parent == Path() and not file.exists()
    return inside if is_bare_name and inside.is_file() else file


class PartialFile:
    """A dump that is being written, under a name that nobody takes for a backup."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        """Carries the lock that says the file is in use; a child that inherits it keeps it."""

    def publish(self, purpose: Purpose, made_at: datetime) -> Path:
        """Give the finished file its name, which no other file has, and make that durable."""
        self._give_to_directory_owner()
        while not self._take_name(
            path := self.path.with_name(make_name(purpose, made_at)),
        ):
            # Another backup of the same second: the name has no finer time.
            made_at += timedelta(seconds=1)
        _sync_directory(path.parent)
        return path

    def _take_name(self, path: Path) -> bool:
        try:
            os.link(self.path, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINK_ERRORS:
                raise
            if path.exists():
                return False
            self.path.rename(path)
        else:
            self.path.unlink()
        return True

    def _give_to_directory_owner(self) -> None:
        """What root writes into Aperture's directory has to be readable to Aperture."""
        owner = self.path.parent.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            with contextlib.suppress(OSError):
                os.fchown(self.descriptor, owner.st_uid, owner.st_gid)


@contextmanager
def partial_file(directory: Path) -> Iterator[PartialFile]:
    """A new file, mode 0600, that goes away at the end of the block unless it was published.

    Files that killed runs left are removed too. Raises ApertureDbError for a directory that
    can't be written to.
    """
    try:
        _remove_abandoned(directory)
        partial = _create(directory)
    except OSError as error:
        raise unwritable(directory, error) from error
    try:
        yield partial
    except OSError as error:
        raise unwritable(directory, error) from error
    finally:
        partial.path.unlink(missing_ok=True)
        os.close(partial.descriptor)


def unwritable(directory: Path, error: OSError) -> ApertureDbError:
    """What to do about a directory, or a disk, that takes no file."""
    next_step = f"choose another directory with --dir, or check it: ls -ld {directory}"
    why = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.EACCES, errno.EPERM):
        user, group = os.geteuid(), os.getegid()
        owner = directory.stat()
        why = (
            f"it belongs to {owner.st_uid}:{owner.st_gid} (mode {owner.st_mode & 0o777:o}), "
            f"and aperture-db runs as {user}:{group}"
        )
        next_step = f"as root run: chown {user}:{group} {directory}"
    elif error.errno == errno.EROFS:
        why = "its file system is mounted read-only"
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(directory)
    return ApertureDbError(
        f"{directory} can't be written to", why=why, next_step=next_step, code="unwritable"
    )


def disk_full(directory: Path) -> ApertureDbError:
    return ApertureDbError(
        f"there is not enough space in {directory}",
        why="the disk, or the quota, was full before the backup was complete; what was written "
        "of it has been removed",
        next_step=f"free space (df -h {directory}), or choose another disk with --dir",
        code="backup_disk_full",
    )


def now() -> datetime:
    """The time for the name of a new backup."""
    return datetime.now(UTC)


def _create(directory: Path) -> PartialFile:
    while True:
        path = directory / f".aperture_{secrets.token_hex(6)}{PARTIAL_SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # Between these two steps another run may have taken the file for an abandoned one.
        if _lock(descriptor) and path.exists():
            return PartialFile(path, descriptor)
        os.close(descriptor)


def _remove_abandoned(directory: Path) -> None:
    for path in directory.glob(f".aperture_*{PARTIAL_SUFFIX}"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if _lock(descriptor, where_unknown=False):
                    path.unlink()
            finally:
                os.close(descriptor)


def _lock(descriptor: int, *, where_unknown: bool = True) -> bool:
    """Try for the lock; `where_unknown` answers for file systems that have no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return where_unknown
    return True


def _sync_directory(directory: Path) -> None:
    """Some network file systems can't; the file itself is on disk already."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
