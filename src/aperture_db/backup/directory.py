"""The backup directory: its path, the backups in it, and new files."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from aperture_db.aperture import DEFAULT_BACKUP_PATH
from aperture_db.backup.settings import BackupSettings
from aperture_db.dumps import Purpose, archive_compression, make_name, read_name
from aperture_db.dumps.checksum import ChecksumState, read_checksum
from aperture_db.dumps.files import HEAD_BYTES
from aperture_db.errors import ApertureDbError, UsageError, lack_of_resources
from aperture_db.format import shell_command
from aperture_db.new_files import PartialFile, partial_file
from aperture_db.safe_files import HeldDirectory, hold_directory


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


# The levels of one method of compression differ by less.
MUCH_LARGER = 2
CLOCK_TOLERANCE = timedelta(minutes=10)
MAGIC = {".dump": b"PGDMP", ".gz": b"\x1f\x8b"}
STATES = {
    ChecksumState.INTACT: BackupState.COMPLETE,
    ChecksumState.BROKEN: BackupState.DAMAGED,
    ChecksumState.NONE: BackupState.UNCHECKED,
}


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
    if directory.path.is_absolute() and directory.path.is_dir():
        return
    what = f"the backup directory {directory.path} does not exist"
    if not directory.path.is_absolute():
        what = f"the backup directory {str(directory.path)!r} is not an absolute path"
    elif directory.path.exists():
        what = f"{directory.path} is not a directory"
    error = UsageError if directory.is_chosen else ApertureDbError
    raise error(
        what,
        why=f"the path comes from {directory.source}"
        + ("" if directory.is_chosen else " and is a path inside Aperture's container"),
        next_step=f"mkdir -p {shell_command(directory.path)}"
        if directory.is_chosen
        else "run the command inside Aperture's container (docker exec aperture aperture-db …), or "
        "choose a directory of this machine with --dir",
        code="no_directory",
    )


def require_writable(directory: BackupDirectory) -> None:
    """Raise ApertureDbError when it does not exist or no file can be created in it."""
    require_directory(directory)
    with new_backup(directory.path):
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
        with hold_directory(directory.path) as held:
            found = list(_listed(held))
    except PermissionError as error:
        raise _unreadable(directory.path, error) from error
    found.sort(key=age_order(), reverse=True)
    return BackupList(directory.path, tuple(found))


def newest_backup(directory: BackupDirectory) -> Path:
    """The newest backup of this tool or of Aperture. Raises ApertureDbError without any."""
    for backup in list_backups(directory).backups:
        if backup.purpose is Purpose.BACKUP:
            return backup.path
    raise ApertureDbError(
        f"there is no backup in {directory.path}",
        why=f"the path comes from {directory.source}",
        next_step="aperture-db backup",
        code="no_backup",
    )


def is_newest_backup(path: Path) -> bool:
    """Tell whether the file is the newest backup of its directory."""
    directory = BackupDirectory(path.absolute().parent, "FILE", is_chosen=True)
    try:
        return newest_backup(directory) == path.absolute()
    except ApertureDbError:
        return False


def age_order() -> Callable[[ListedBackup], tuple[bool, datetime]]:
    """A sort key, the oldest first. A file dated in the future, by a wrong clock or name, never
    counts as the newest: it comes before all others."""
    latest = now() + CLOCK_TOLERANCE
    return lambda backup: (backup.made_at <= latest, backup.made_at)


def _listed(directory: HeldDirectory) -> Iterator[ListedBackup]:
    for file_name in directory.names():
        name = read_name(file_name)
        status = directory.regular_status(file_name)
        if name is None or status is None:
            continue
        file_time = datetime.fromtimestamp(status.st_mtime, UTC).replace(microsecond=0)
        yield ListedBackup(
            path=directory.path / file_name,
            purpose=name.purpose,
            made_at=name.made_at or file_time,
            size_bytes=status.st_size,
            compression=_compression(directory, file_name),
            state=_state(directory, file_name),
            has_own_name=name.made_at is not None
            and file_name == make_name(name.purpose, name.made_at),
        )


def _compression(directory: HeldDirectory, name: str) -> str | None:
    suffix = Path(name).suffix
    if suffix != ".dump":
        return "gzip" if suffix == ".gz" else "none"
    try:
        with directory.hold(name) as file:
            return archive_compression(file.read_at(0, HEAD_BYTES))
    except OSError:
        return None


def _state(directory: HeldDirectory, name: str) -> BackupState:
    magic = MAGIC.get(Path(name).suffix, b"")
    try:
        with directory.hold(name) as file:
            if file.size_bytes == 0:
                return BackupState.EMPTY
            if not file.read_at(0, len(magic)).startswith(magic):
                return BackupState.DAMAGED
            checksum, _ = read_checksum(file)
    except OSError:
        return BackupState.UNREADABLE
    return STATES[checksum]


def prune(directory: BackupDirectory, expired: Iterable[ListedBackup]) -> Iterator[Path | OSError]:
    """Delete these backups; yields the path or the error of each."""
    with hold_directory(directory.path) as held:
        for backup in expired:
            try:
                with held.hold(backup.name) as file:
                    held.remove(backup.name, file)
            except OSError as error:
                yield error
            else:
                yield backup.path


def _unreadable(directory: Path, error: PermissionError) -> ApertureDbError:
    refused = unwritable(directory, error)
    return ApertureDbError(
        f"cannot list {directory}",
        why=refused.why,
        next_step=refused.next_step,
        code="unreadable_directory",
    )


@dataclass(frozen=True)
class Retention:
    """The old backups of a directory that are to go, and one that is spared."""

    expired: tuple[ListedBackup, ...]
    """The newest first."""
    spared: ListedBackup | None


def choose_expired(backups: Iterable[ListedBackup], keep: int, just_made: Path) -> Retention:
    """The backups beyond the newest `keep`.

    Only complete, not renamed backups of this tool are counted and pruned. The one just made is
    always kept, even if the clock was wrong when the others were made. Backups of a database that
    has lost its rows never push out the last that has them: of those beyond `keep`, the newest that
    is much larger than each kept one is spared.
    """
    ours = sorted(
        (each for each in backups if each.purpose is Purpose.BACKUP and each.is_ours),
        key=age_order(),
        reverse=True,
    )
    ours.sort(key=lambda each: each.path != just_made)
    kept, beyond = ours[: max(1, keep)], ours[max(1, keep) :]
    spared = next(
        (old for old in beyond if kept and all(_is_much_larger(old, each) for each in kept)), None
    )
    return Retention(tuple(old for old in beyond if old is not spared), spared)


def _is_much_larger(old: ListedBackup, new: ListedBackup) -> bool:
    """Tell if `old` must hold more; files compressed by other methods can't be compared."""
    return old.compression == new.compression and old.size_bytes > MUCH_LARGER * new.size_bytes


def publish(partial: PartialFile, purpose: Purpose, made_at: datetime) -> Path:
    """Give a new backup its final, unused name; returns the path."""
    partial.give_to_directory_owner()
    while True:
        try:
            return partial.publish(make_name(purpose, made_at))
        except FileExistsError:
            # The name of another backup in the same second is taken.
            made_at += timedelta(seconds=1)


@contextmanager
def new_backup(directory: Path) -> Iterator[PartialFile]:
    """A new file, mode 0600, that is deleted at the end of the block unless it was published.

    Files that killed runs left are deleted first. Raises ApertureDbError for a directory in
    which no file can be created.
    """
    try:
        with hold_directory(directory) as held, partial_file(held) as partial:
            yield partial
    except OSError as error:
        raise unwritable(directory, error) from error


def unwritable(directory: Path, error: OSError) -> ApertureDbError:
    """The error for a directory in which no file can be created or written."""
    if lacking := lack_of_resources(f"nothing could be written to {directory}", error):
        return lacking
    quoted = shell_command(directory)
    next_step = f"choose another directory with --dir, or check this one: ls -ld {quoted}"
    why = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM):
        why, next_step = _refused(directory)
    elif error.errno == errno.EROFS:
        why = "its file system is mounted read-only"
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(directory)
    return ApertureDbError(
        f"cannot write to {directory}", why=why, next_step=next_step, code="unwritable"
    )


def _refused(directory: Path) -> tuple[str, str]:
    """The reason and the advice where this account may not write."""
    user, group = os.geteuid(), os.getegid()
    status = directory.stat()
    owner = f"{status.st_uid}:{status.st_gid}"
    why = (
        f"it belongs to {owner} (mode {status.st_mode & 0o777:o}), "
        f"and aperture-db runs as {user}:{group}"
    )
    if user != 0:
        return why, f"as root run: chown {user}:{group} {shell_command(directory)}"
    # root_squash of NFS, CIFS with the rights of its server, a container without CAP_DAC_OVERRIDE.
    why += " without root's right to write everywhere (a network file system, or a container)"
    next_step = f"run the command as {owner} (docker exec -u {owner}, or sudo -u "
    return why, f"{next_step}'#{status.st_uid}'), or choose another directory with --dir"


def disk_full(directory: Path) -> ApertureDbError:
    """The error for a full disk or quota."""
    return ApertureDbError(
        f"not enough space in {directory}",
        why="the disk or the quota was full before the backup was complete; the incomplete file "
        "was deleted",
        next_step=f"free space (df -h {shell_command(directory)}), or choose another disk "
        "with --dir",
        code="backup_disk_full",
    )


def now() -> datetime:
    """The time for the name of a new backup."""
    return datetime.now(UTC)
