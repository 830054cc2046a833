"""Files in directories where others may write.

Whoever may write in a directory can replace any name in it, at any moment, by a link to a file
elsewhere. So a directory and a file are opened once, and a file never through a symbolic link;
everything later (writing, reading back, measuring, giving away, naming) is done through what is
open. A name is used only within the open directory, and only while it is the name of the open
file.
"""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Reading a FIFO or a terminal would wait, or take it over.
FOLLOWING_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
OPEN_FLAGS = FOLLOWING_FLAGS | os.O_NOFOLLOW
# Opening a name here opens the file that the descriptor holds. Linux has the first, others the
# second.
LINUX_DESCRIPTORS = Path("/proc/self/fd")
OWN_DESCRIPTORS = next(filter(Path.exists, (LINUX_DESCRIPTORS, Path("/dev/fd"))))
# A shell's <(command) is a FIFO, and the command may have to ask for something first.
WAIT_SECONDS = 10
BLOCK_BYTES = 1 << 20


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
    """Open a regular file that the user has named; links are followed. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | FOLLOWING_FLAGS)
    try:
        _require_regular(path, descriptor)
        yield HeldFile(path, descriptor)
    finally:
        os.close(descriptor)


def _require_regular(path: Path, descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


@contextmanager
def unnamed_text(text: str) -> Iterator[HeldFile]:
    """A file with a secret for a child process that inherits the descriptor and can read only
    files. It has no name, so that no end of this process leaves it."""
    with tempfile.TemporaryFile("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        held = HeldFile(Path("a temporary file"), file.fileno())
        held.rewound()
        yield held


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
            _require_regular(self.path / name, descriptor)
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


def read_input(path: Path, most_bytes: int) -> bytes:
    """The whole content of a regular file or a FIFO. Raises OSError: also for everything else, for
    more bytes than `most_bytes`, and where nothing has come from a FIFO for WAIT_SECONDS.
    """
    descriptor = os.open(path, os.O_RDONLY | FOLLOWING_FLAGS)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise OSError(errno.EINVAL, "it is a device, not a file", str(path))
        return _read_all(path, descriptor, most_bytes)
    finally:
        os.close(descriptor)


def _read_all(path: Path, descriptor: int, most_bytes: int) -> bytes:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    content = bytearray()
    while len(content) <= most_bytes:
        # Before the first writer has opened a FIFO, a read would take it for empty.
        if not poll.poll(WAIT_SECONDS * 1000):
            raise TimeoutError(errno.ETIMEDOUT, f"nothing came for {WAIT_SECONDS} s", str(path))
        try:
            block = os.read(descriptor, BLOCK_BYTES)
        except BlockingIOError:
            continue
        if not block:
            return bytes(content)
        content += block
    raise OSError(errno.EFBIG, f"it has more than {most_bytes:,} bytes", str(path))


def read_input_text(path: Path, most_bytes: int) -> str:
    """The same as text, without a byte order mark. Raises OSError or UnicodeDecodeError."""
    return read_input(path, most_bytes).decode("utf-8-sig")
