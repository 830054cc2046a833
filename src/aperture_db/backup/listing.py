"""What lies in a backup directory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from aperture_db.backup.directory import BackupDirectory, require_directory, unwritable
from aperture_db.dumps.files import Purpose, make_name, read_name
from aperture_db.dumps.seal import Seal, read_seal
from aperture_db.errors import ApertureDbError

MAGIC = {".dump": b"PGDMP", ".gz": b"\x1f\x8b"}


class State(StrEnum):
    """What can be told of a file without reading all of it."""

    COMPLETE = "complete"
    """Ours, and not cut: its checksum is there, and its size is what the checksum says."""
    UNCHECKED = "not checked"
    """Not ours, or without a checksum; only its first bytes were looked at."""
    EMPTY = "empty"
    DAMAGED = "damaged"
    UNREADABLE = "not readable"


@dataclass(frozen=True)
class ListedBackup:
    """One file with a name that Aperture or this tool gives to dumps."""

    path: Path
    purpose: Purpose
    made_at: datetime
    """From the name, else the file's own time."""
    size_bytes: int
    state: State
    has_own_name: bool
    """Exactly as this tool names a backup: not renamed by anybody."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def is_ours(self) -> bool:
        """Made by this tool, whole, and still under its name."""
        return self.state is State.COMPLETE and self.has_own_name


@dataclass(frozen=True)
class BackupList:
    """The files of a directory, the newest first."""

    directory: Path
    backups: tuple[ListedBackup, ...]

    @property
    def total_bytes(self) -> int:
        return sum(backup.size_bytes for backup in self.backups)


def list_backups(directory: BackupDirectory) -> BackupList:
    """Look at the names, sizes and first and last bytes; nothing is read whole."""
    require_directory(directory)
    try:
        found = sorted(_listed(directory.path), key=lambda each: each.made_at, reverse=True)
    except PermissionError as error:
        raise _unreadable(directory.path, error) from error
    return BackupList(directory.path, tuple(found))


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
            state=_state(path, status.st_size),
            has_own_name=name.made_at is not None
            and path.name == make_name(name.purpose, name.made_at),
        )


def _state(path: Path, size_bytes: int) -> State:
    if size_bytes == 0:
        return State.EMPTY
    magic = MAGIC.get(path.suffix, b"")
    try:
        with path.open("rb") as file:
            if not file.read(8).startswith(magic):
                return State.DAMAGED
        seal, _ = read_seal(path)
    except OSError:
        return State.UNREADABLE
    return {Seal.INTACT: State.COMPLETE, Seal.BROKEN: State.DAMAGED, Seal.NONE: State.UNCHECKED}[
        seal
    ]


def _unreadable(directory: Path, error: PermissionError) -> ApertureDbError:
    refused = unwritable(directory, error)
    return ApertureDbError(
        f"{directory} can't be listed",
        why=refused.why,
        next_step=refused.next_step,
        code="unreadable_directory",
    )
