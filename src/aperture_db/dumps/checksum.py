"""The checksum at the end of our dumps.

pg_restore ignores bytes after an archive. The archive itself protects its rows but not its table
of contents, where a flipped bit goes unnoticed. A checksum inside the file is copied with it, and
identifies our own dumps.
"""

from __future__ import annotations

import hashlib
import os
import re
from enum import StrEnum
from pathlib import Path

START = b"\n-- aperture-db seal "
TEMPLATE = START + b"sha256 %s size %020d --\n"
PATTERN = re.compile(re.escape(START) + rb"sha256 ([0-9a-f]{64}) size (\d{20}) --\n")
LENGTH = len(TEMPLATE % (b"0" * 64, 0))
# Two words far enough apart that no single flipped bit hides both.
TRACES = (b"aperture-db seal", b" size 0000")
BLOCK_BYTES = 1 << 20


class ChecksumState(StrEnum):
    """State of the checksum at the end of a file."""

    NONE = "none"
    """No checksum: another program's dump, or a file cut right before it."""
    INTACT = "intact"
    """A checksum for a file of this size; the bytes have not been compared."""
    BROKEN = "broken"
    """Parts of a checksum, or one for a file of another size."""


def read_checksum(path: Path) -> tuple[ChecksumState, str]:
    """Read the last bytes of the file; returns the state and the SHA-256 that they name (hex)."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size_bytes - LENGTH))
        tail = file.read()
    match = PATTERN.fullmatch(tail)
    if match:
        is_right_size = int(match[2]) == size_bytes - LENGTH
        return (ChecksumState.INTACT if is_right_size else ChecksumState.BROKEN), match[1].decode()
    is_cut = any(tail.endswith(START[:length]) for length in range(4, len(START)))
    if is_cut or any(trace in tail for trace in TRACES):
        return ChecksumState.BROKEN, ""
    return ChecksumState.NONE, ""


def write_checksum(path: Path) -> None:
    """Append the checksum to the file and sync the file to disk."""
    size_bytes = path.stat().st_size
    digest = _digest(path, size_bytes)
    with path.open("ab") as file:
        file.write(TEMPLATE % (digest.encode(), size_bytes))
        file.flush()
        os.fsync(file.fileno())


def matches(path: Path, digest: str) -> bool:
    """Compare the SHA-256 with the file, which is read to its end."""
    return _digest(path, path.stat().st_size - LENGTH) == digest


def _digest(path: Path, size_bytes: int) -> str:
    """SHA-256 of the first `size_bytes`, in hex."""
    digest = hashlib.sha256()
    left = size_bytes
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(BLOCK_BYTES, left))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()
