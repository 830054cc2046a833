"""The backup directory: its path, the backups in it, and new files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aperture_db.aperture import DEFAULT_BACKUP_PATH
from aperture_db.backup.results import BackupDirectory, BackupList, BackupState, ListedBackup
from aperture_db.backup.settings import BackupSettings
from aperture_db.dumps.checksum import ChecksumState, read_checksum
from aperture_db.dumps.files import HEAD_BYTES, Purpose, archive_compression, make_name, read_name
from aperture_db.errors import ApertureDbError

CLOCK_TOLERANCE = timedelta(minutes=10)
PARTIAL_SUFFIX = ".partial"
MAGIC = {".dump": b"PGDMP", ".gz": b"\x1f\x8b"}
STATES = {
    ChecksumState.INTACT: BackupState.COMPLETE,
    ChecksumState.BROKEN: BackupState.DAMAGED,
    ChecksumState.NONE: BackupState.UNCHECKED,
}
# File systems without hard links: FAT, and many network shares.
NO_LINK_ERRORS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def choose_directory(option: Path | None, settings: BackupSettings | None) -> BackupDirectory:
    """The directory of --dir, else of Aperture's settings, else Aperture's default."""
    if option is not None:
        return BackupDirectory(option.absolute(), "--dir", is_chosen=True)
    if settings is not None:
        path = Path(settings.backup_path)
        return BackupDirectory(path, "backup_config.backup_path", is_chosen=False)
    return BackupDirectory(Path(DEFAULT_BACKUP_PATH), "Aperture's default", is_chosen=False)


def require_directory(directory: BackupDirectory) -> None:
    """Raise ApertureDbError when it does not exist. It is never created: a missing directory is
    usually a volume that is not mounted."""
    if directory.path.is_dir():
        return
    what = f"the backup directory {directory.path} does not exist"
    if directory.path.exists():
        what = f"{directory.path} is not a directory"
    raise ApertureDbError(
        what,
        why=f"the path comes from {directory.source}"
        + ("" if directory.is_chosen else " and is a path inside Aperture's container"),
        next_step=f"mkdir -p {shlex.quote(str(directory.path))}"
        if directory.is_chosen
        else "run the command inside Aperture's container (docker exec aperture aperture-db …), or "
        "choose a directory of this machine with --dir",
        code="no_directory",
    )


def require_writable(directory: BackupDirectory) -> None:
    """Raise ApertureDbError when it does not exist or no file can be created in it."""
    require_directory(directory)
    with partial_file(directory.path):
        pass


def locate(file: Path, directory: BackupDirectory) -> Path:
    """The file; a bare name may also be that of a file in the backup directory."""
    inside = directory.path / file
    is_bare_name = file.parent == Path() and not file.exists()
    return inside if is_bare_name and inside.is_file() else file


def list_backups(directory: BackupDirectory) -> BackupList:
    """Read the names, sizes, and first and last bytes of the files."""
    require_directory(directory)
    try:
        found = sorted(_listed(directory.path), key=age_order(), reverse=True)
    except PermissionError as error:
        raise _unreadable(directory.path, error) from error
    return BackupList(directory.path, tuple(found))


def age_order() -> Callable[[ListedBackup], tuple[bool, datetime]]:
    """A sort key, the oldest first. A file dated in the future, by a wrong clock or name, never
    counts as the newest: it comes before all others."""
    latest = now() + CLOCK_TOLERANCE
    return lambda backup: (backup.made_at <= latest, backup.made_at)


def _listed(directory: Path) -> Iterator[ListedBackup]:
    for path in directory.iterdir():
        name = read_name(path.name)
        if name is None or not path.is_file():
            continue
        status = path.stat()
        file_time = datetime.fromtimestamp(status.st_mtime, UTC).replace(microsecond=0)
        yield ListedBackup(
            path=path,
            purpose=name.purpose,
            made_at=name.made_at or file_time,
            size_bytes=status.st_size,
            compression=_compression(path),
            state=_state(path, status.st_size),
            has_own_name=name.made_at is not None
            and path.name == make_name(name.purpose, name.made_at),
        )


def _compression(path: Path) -> str | None:
    if path.suffix != ".dump":
        return "gzip" if path.suffix == ".gz" else "none"
    try:
        with path.open("rb") as file:
            return archive_compression(file.read(HEAD_BYTES))
    except OSError:
        return None


def _state(path: Path, size_bytes: int) -> BackupState:
    if size_bytes == 0:
        return BackupState.EMPTY
    magic = MAGIC.get(path.suffix, b"")
    try:
        with path.open("rb") as file:
            if not file.read(8).startswith(magic):
                return BackupState.DAMAGED
        checksum, _ = read_checksum(path)
    except OSError:
        return BackupState.UNREADABLE
    return STATES[checksum]


def _unreadable(directory: Path, error: PermissionError) -> ApertureDbError:
    refused = unwritable(directory, error)
    return ApertureDbError(
        f"cannot list {directory}",
        why=refused.why,
        next_step=refused.next_step,
        code="unreadable_directory",
    )


def choose_expired(
    backups: Iterable[ListedBackup], keep: int, just_made: Path
) -> tuple[ListedBackup, ...]:
    """The backups beyond the newest `keep`, oldest last.

    Only complete, not renamed backups of this tool are counted and pruned. The one just made is
    always kept, even if the clock was wrong when the others were made.
    """
    ours = sorted(
        (
            backup
            for backup in backups
            if backup.purpose is Purpose.BACKUP and backup.is_ours and backup.path != just_made
        ),
        key=age_order(),
        reverse=True,
    )
    return tuple(ours[max(0, keep - 1) :])


class PartialFile:
    """A dump that is being written, under a temporary name."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        """Holds the lock that marks the file as in use; a child process inherits it."""

    def publish(self, purpose: Purpose, made_at: datetime) -> Path:
        """Give the file its final, unused name and sync the directory; returns the path."""
        self._give_to_directory_owner()
        while not self._take_name(
            path := self.path.with_name(make_name(purpose, made_at)),
        ):
            # The name of another backup in the same second is taken.
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
        """Make the file readable for Aperture when root writes into Aperture's directory."""
        owner = self.path.parent.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            with contextlib.suppress(OSError):
                os.fchown(self.descriptor, owner.st_uid, owner.st_gid)


@contextmanager
def partial_file(directory: Path) -> Iterator[PartialFile]:
    """A new file, mode 0600, that is deleted at the end of the block unless it was published.

    Files that killed runs left are deleted first. Raises ApertureDbError for a directory in
    which no file can be created.
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
    """The error for a directory in which no file can be created or written."""
    quoted = shlex.quote(str(directory))
    next_step = f"choose another directory with --dir, or check this one: ls -ld {quoted}"
    why = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.EACCES, errno.EPERM):
        user, group = os.geteuid(), os.getegid()
        owner = directory.stat()
        why = (
            f"it belongs to {owner.st_uid}:{owner.st_gid} (mode {owner.st_mode & 0o777:o}), "
            f"and aperture-db runs as {user}:{group}"
        )
        next_step = f"as root run: chown {user}:{group} {quoted}"
    elif error.errno == errno.EROFS:
        why = "its file system is mounted read-only"
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(directory)
    return ApertureDbError(
        f"cannot write to {directory}", why=why, next_step=next_step, code="unwritable"
    )


def disk_full(directory: Path) -> ApertureDbError:
    """The error for a full disk or quota."""
    return ApertureDbError(
        f"not enough space in {directory}",
        why="the disk or the quota was full before the backup was complete; the incomplete file "
        "was deleted",
        next_step=f"free space (df -h {shlex.quote(str(directory))}), or choose another disk "
        "with --dir",
        code="backup_disk_full",
    )


def now() -> datetime:
    """The time for the name of a new backup."""
    return datetime.now(UTC)


def _create(directory: Path) -> PartialFile:
    while True:
        path = directory / f".aperture_{secrets.token_hex(6)}{PARTIAL_SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # Before the lock, another run may have deleted the file as an abandoned one.
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
    """Try to lock the file; `where_unknown` is returned on file systems without locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return where_unknown
    return True


def _sync_directory(directory: Path) -> None:
    """Some network file systems cannot sync a directory; the file itself is on disk already."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
