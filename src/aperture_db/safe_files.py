"""Files in directories where others may write.

Whoever may write in a directory can replace any name in it, at any moment, by a link to a file
elsewhere. So a directory and a file are opened once, and a file never through a symbolic link;
everything later (writing, reading back, measuring, giving away, naming) is done through what is
open. A name is used only within the open directory, and only while it is the name of the open
file.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import secrets
import stat
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL_PREFIX = ".aperture_"
PARTIAL_SUFFIX = ".partial"
# Reading a FIFO or a terminal would wait, or take it over.
OPEN_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
# Opening a name here opens the file that the descriptor holds. Linux has the first, others the
# second.
OWN_DESCRIPTORS = next(filter(Path.exists, (Path("/proc/self/fd"), Path("/dev/fd"))))


class ReplacedFileError(OSError):
    """Another file has taken the name of the one that is being written."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            errno.ESTALE, "another program removed or replaced the file while it was written", path
        )


class HeldFile:
    """An open file; `path` is its name for messages and may be another file's by now."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @property
    def inherited_path(self) -> Path:
        """Its name for a child process that inherits the descriptor."""
        return OWN_DESCRIPTORS / str(self.descriptor)

    @property
    def status(self) -> os.stat_result:
        return os.fstat(self.descriptor)

    @property
    def size_bytes(self) -> int:
        return self.status.st_size

    @property
    def state(self) -> tuple[int, int, int]:
        """Differs once anybody has written to the file, or replaced or deleted its name. The time
        of the last change of the inode, unlike the others, cannot be set."""
        status = self.status
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def kept(self) -> HeldFile:
        """The same open file, for as long as the result is in use."""
        other = HeldFile(self.path, os.dup(self.descriptor))
        weakref.finalize(other, os.close, other.descriptor)
        return other

    @contextmanager
    def another(self) -> Iterator[HeldFile]:
        """The same file with a position of its own. Raises OSError."""
        # Only Linux opens it anew by its descriptor; elsewhere the name must still be its own.
        path = self.inherited_path if sys.platform == "linux" else self.path
        with hold(path) as file:
            if not os.path.samestat(file.status, self.status):
                raise ReplacedFileError(self.path)
            yield HeldFile(self.path, file.descriptor)

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Up to so many bytes from `offset`."""
        return os.pread(self.descriptor, size_bytes, offset)

    @contextmanager
    def writer(self) -> Iterator[io.BufferedWriter]:
        """Write at the end; the file is synced to disk at the end of the block."""
        with os.fdopen(os.dup(self.descriptor), "wb") as file:
            file.seek(0, os.SEEK_END)
            yield file
            file.flush()
            os.fsync(file.fileno())

    def append(self, data: bytes) -> None:
        """Write at the end, and sync the file to disk."""
        with self.writer() as file:
            file.write(data)

    def rewound(self) -> int:
        """The descriptor, for a program that inherits it and reads from the beginning."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        return self.descriptor

    @contextmanager
    def stream(self) -> Iterator[io.BufferedReader]:
        """The file from its beginning. One stream at a time: the position is shared."""
        with os.fdopen(os.dup(self.rewound()), "rb") as file:
            yield file


@contextmanager
def hold(path: Path) -> Iterator[HeldFile]:
    """Open a file that the user has named; links are followed. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        yield HeldFile(path, descriptor)
    finally:
        os.close(descriptor)


class HeldDirectory:
    """An open directory."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def names(self) -> list[str]:
        with os.scandir(self.descriptor) as entries:
            return [entry.name for entry in entries]

    @contextmanager
    def hold(self, name: str, flags: int = os.O_RDONLY) -> Iterator[HeldFile]:
        """Open a regular file of the directory. Raises OSError, for a link or a FIFO too."""
        descriptor = os.open(name, flags | OPEN_FLAGS, dir_fd=self.descriptor)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(self.path / name))
            yield HeldFile(self.path / name, descriptor)
        finally:
            os.close(descriptor)

    def has(self, name: str) -> bool:
        """Tell whether anything has this name."""
        return self._status(name) is not None

    def regular_status(self, name: str) -> os.stat_result | None:
        """None for everything but a regular file."""
        status = self._status(name)
        return status if status is not None and stat.S_ISREG(status.st_mode) else None

    def is_name_of(self, name: str, file: HeldFile) -> bool:
        """Tell whether the name is the open file's, and not a link to it."""
        status = self._status(name)
        return status is not None and os.path.samestat(status, file.status)

    def remove(self, name: str, file: HeldFile) -> None:
        """Remove the name if it is still the open file's."""
        if self.is_name_of(name, file):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self.descriptor)

    def sync(self) -> None:
        """Some network file systems cannot sync a directory; the file is on disk already."""
        with suppress(OSError):
            os.fsync(self.descriptor)

    def _status(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None


@contextmanager
def hold_directory(path: Path) -> Iterator[HeldDirectory]:
    """Open a directory that the user has named; links are followed. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield HeldDirectory(path, descriptor)
    finally:
        os.close(descriptor)


class PartialFile(HeldFile):
    """A file that is being written, under a temporary name."""

    def __init__(self, directory: HeldDirectory, name: str, descriptor: int) -> None:
        super().__init__(directory.path / name, descriptor)
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
            self._require_own_name()
            if self._directory.has(name):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name) from None
            self._rename(name)
        self._directory.remove(self._name, self)
        return self._confirm(name)

    def replace(self, name: str) -> Path:
        """Sync the file and give it the name, in place of the file that has it now."""
        os.fsync(self.descriptor)
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
        self._directory.remove(self._name, self)

    def _link(self, name: str) -> None:
        """Through the descriptor where the system can: a name may be exchanged meanwhile."""
        if sys.platform == "linux":
            own = self.inherited_path
            os.link(own, name, dst_dir_fd=self._directory.descriptor, follow_symlinks=True)
        else:
            directory = self._directory.descriptor
            os.link(
                self._name, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False
            )

    def _rename(self, name: str) -> None:
        directory = self._directory.descriptor
        os.rename(self._name, name, src_dir_fd=directory, dst_dir_fd=directory)

    def _require_own_name(self) -> None:
        if not self._directory.is_name_of(self._name, self):
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

    A lock marks it as in use, and child processes that inherit its descriptor keep the lock.
    Those that killed runs left are deleted first. Raises OSError.
    """
    _remove_abandoned(directory)
    partial = _create(directory)
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


def _create(directory: HeldDirectory) -> PartialFile:
    while True:
        name = f"{PARTIAL_PREFIX}{secrets.token_hex(6)}{PARTIAL_SUFFIX}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | OPEN_FLAGS
        descriptor = os.open(name, flags, 0o600, dir_fd=directory.descriptor)
        # A child that writes to it expects a file that blocks.
        os.set_blocking(descriptor, True)
        partial = PartialFile(directory, name, descriptor)
        # Before the lock, another run may have deleted the file as an abandoned one.
        if _lock(partial) and directory.has(name):
            return partial
        os.close(descriptor)


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
