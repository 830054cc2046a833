"""Writes files that appear under their name when they are complete, or not at all.

What is written may stand in a directory of another account: see `safe_files`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aperture_db.safe_files import (
    LINUX_DESCRIPTORS,
    OPEN_FLAGS,
    OWN_DESCRIPTORS,
    HeldDirectory,
    HeldFile,
    ReplacedFileError,
    hold_directory,
)

PARTIAL_PREFIX = ".aperture_"
PARTIAL_SUFFIX = ".partial"


class PartialFile(HeldFile):
    """A file that is being written: without a name where the system has such files, so that
    nobody can exchange it and a killed run leaves nothing, else under a temporary one."""

    def __init__(self, directory: HeldDirectory, name: str | None, descriptor: int) -> None:
        super().__init__(directory.path / (name or "the new file"), descriptor)
        self._directory = directory
        self._name = name

    def publish(self, name: str) -> Path:
        """Sync the file and give it a name that nothing has. Raises FileExistsError."""
        os.fsync(self.descriptor)
        self._require_own_name()
        try:
            self._link(name)
        except FileExistsError:
            raise
        except OSError:
            # A file system without hard links, or one that refuses this one: FAT, NFS, SMB.
            return self._rename_to_free(name)
        self.discard()
        return self._confirm(name)

    def replace(self, name: str) -> Path:
        """Sync the file and give it the name, in place of the file that has it now."""
        os.fsync(self.descriptor)
        if self._name is None:
            try:
                self._take_name()
            except OSError:
                with self._named_copy() as copy:
                    return copy.replace(name)
        self._require_own_name()
        self._rename(name)
        return self._confirm(name)

    def give_to_directory_owner(self) -> None:
        """Where root writes into the directory of another account, let that account read it."""
        owner = os.fstat(self._directory.descriptor)
        if os.geteuid() == 0 and owner.st_uid != 0:
            with suppress(OSError):
                os.fchown(self.descriptor, owner.st_uid, owner.st_gid)

    def discard(self) -> None:
        """Delete the file unless it was published."""
        if self._name is not None:
            self._directory.remove(self._name, self)

    def _take_name(self) -> None:
        """A temporary name for a file without one. It is locked before others can see it."""
        _lock(self)
        name = _temporary_name()
        self._link(name)
        self._name = name

    def _rename_to_free(self, name: str) -> Path:
        if self._name is None:
            with self._named_copy() as copy:
                return copy.publish(name)
        self._require_own_name()
        if self._directory.has(name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        self._rename(name)
        return self._confirm(name)

    @contextmanager
    def _named_copy(self) -> Iterator[PartialFile]:
        """For a file system that makes files without names, and gives them none."""
        status = self.status
        with _closed(_create_named(self._directory)) as copy:
            with copy.writer() as writer, self.stream() as stream:
                shutil.copyfileobj(stream, writer)
            with suppress(OSError):
                os.fchown(copy.descriptor, status.st_uid, status.st_gid)
            os.fchmod(copy.descriptor, stat.S_IMODE(status.st_mode))
            yield copy

    def _link(self, name: str) -> None:
        """Through the descriptor where the system can: a name may be exchanged meanwhile."""
        directory = self._directory.descriptor
        if sys.platform == "linux":
            os.link(self.inherited_path, name, dst_dir_fd=directory, follow_symlinks=True)
        else:
            assert self._name is not None
            os.link(
                self._name, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False
            )

    def _rename(self, name: str) -> None:
        assert self._name is not None
        directory = self._directory.descriptor
        os.rename(self._name, name, src_dir_fd=directory, dst_dir_fd=directory)

    def _require_own_name(self) -> None:
        if self._name is not None and not self._directory.is_name_of(self._name, self):
            raise ReplacedFileError(self.path)

    def _confirm(self, name: str) -> Path:
        path = self._directory.path / name
        if not self._directory.is_name_of(name, self):
            raise ReplacedFileError(path)
        self._directory.sync()
        return path


@contextmanager
def partial_file(directory: HeldDirectory) -> Iterator[PartialFile]:
    """A new file, mode 0600, that is deleted at the end of the block unless it was published.

    If it has a name, a lock marks it as in use, and child processes that inherit its descriptor
    keep the lock. Those that killed runs left are deleted first. Raises OSError.
    """
    _remove_abandoned(directory)
    with _closed(_create_unnamed(directory) or _create_named(directory)) as partial:
        yield partial


@contextmanager
def _closed(partial: PartialFile) -> Iterator[PartialFile]:
    try:
        yield partial
    finally:
        partial.discard()
        os.close(partial.descriptor)


@contextmanager
def new_file(path: Path) -> Iterator[PartialFile]:
    """A new file, mode 0600, that appears as `path` at the end of the block: complete, or after
    an error not at all. Raises FileExistsError at the end where the name was taken, or OSError."""
    with _file_for(path) as partial:
        yield partial
        partial.publish(path.name)


def replace_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file in place of the one that has the name; a symbolic link there is replaced, not
    followed. `mode` is subject to the umask. Raises OSError."""
    umask = os.umask(0)
    os.umask(umask)
    with _file_for(path) as partial:
        partial.append(text.encode())
        os.fchmod(partial.descriptor, mode & ~umask)
        partial.replace(path.name)


@contextmanager
def _file_for(path: Path) -> Iterator[PartialFile]:
    with (
        hold_directory(path.absolute().parent) as directory,
        partial_file(directory) as partial,
    ):
        yield partial


def _create_unnamed(directory: HeldDirectory) -> PartialFile | None:
    """None where the file system has no such files (NFS), or their names can't be made later."""
    if sys.platform != "linux" or OWN_DESCRIPTORS != LINUX_DESCRIPTORS:
        return None
    try:
        descriptor = os.open(
            ".", os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600, dir_fd=directory.descriptor
        )
    except OSError:
        # If it has another cause, a file with a name can't be made either.
        return None
    return PartialFile(directory, None, descriptor)


def _create_named(directory: HeldDirectory) -> PartialFile:
    while True:
        name = _temporary_name()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | OPEN_FLAGS
        descriptor = os.open(name, flags, 0o600, dir_fd=directory.descriptor)
        # A child that writes to it expects a file that blocks.
        os.set_blocking(descriptor, True)
        partial = PartialFile(directory, name, descriptor)
        # Before the lock, another run may have deleted the file as an abandoned one.
        if _lock(partial) and directory.has(name):
            return partial
        os.close(descriptor)


def _temporary_name() -> str:
    return f"{PARTIAL_PREFIX}{secrets.token_hex(6)}{PARTIAL_SUFFIX}"


def _remove_abandoned(directory: HeldDirectory) -> None:
    for name in directory.names():
        if name.startswith(PARTIAL_PREFIX) and name.endswith(PARTIAL_SUFFIX):
            with suppress(OSError), directory.hold(name, os.O_RDWR) as file:
                if _lock(file, where_unknown=False):
                    directory.remove(name, file)


def _lock(file: HeldFile, *, where_unknown: bool = True) -> bool:
    """Try to lock the file; `where_unknown` is returned on file systems without locks."""
    try:
        fcntl.flock(file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return where_unknown
    return True
