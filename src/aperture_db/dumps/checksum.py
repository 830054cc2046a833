"""The checksum at the end of our dumps.

pg_restore ignores bytes after an archive. The archive itself protects its rows but not its table
of contents, where a flipped bit goes unnoticed. A checksum inside the file is copied with it, and
identifies our own dumps.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

from aperture_db.safe_files import HeldFile

CHECKSUM_START = b"\n-- aperture-db seal "
CHECKSUM_TEMPLATE = CHECKSUM_START + b"sha256 %s size %020d --\n"
CHECKSUM_PATTERN = re.compile(
    re.escape(CHECKSUM_START) + rb"sha256 ([0-9a-f]{64}) size (\d{20}) --\n"
)
CHECKSUM_LENGTH = len(CHECKSUM_TEMPLATE % (b"0" * 64, 0))
# Two words far enough apart that no single flipped bit hides both.
CHECKSUM_TRACES = (b"aperture-db seal", b" size 0000")
BLOCK_BYTES = 1 << 20


class ChecksumState(StrEnum):
    """State of the checksum at the end of a file."""

    NONE = "none"
    """No checksum: another program's dump, or a file cut right before it."""
    INTACT = "intact"
    """A checksum for a file of this size; the bytes have not been compared."""
    BROKEN = "broken"
    """Parts of a checksum, or one for a file of another size."""


def read_checksum(file: HeldFile) -> tuple[ChecksumState, str]:
    """Read the last bytes of the file; returns the state and the SHA-256 that they name (hex)."""
    size_bytes = file.size_bytes
    tail = file.read_at(max(0, size_bytes - CHECKSUM_LENGTH), CHECKSUM_LENGTH)
    match = CHECKSUM_PATTERN.fullmatch(tail)
    if match:
        is_right_size = int(match[2]) == size_bytes - CHECKSUM_LENGTH
        return (ChecksumState.INTACT if is_right_size else ChecksumState.BROKEN), match[1].decode()
    is_cut = any(tail.endswith(CHECKSUM_START[:length]) for length in range(4, len(CHECKSUM_START)))
    if is_cut or any(trace in tail for trace in CHECKSUM_TRACES):
        return ChecksumState.BROKEN, ""
    return ChecksumState.NONE, ""


def write_checksum(file: HeldFile) -> None:
    """Append the checksum to the file and sync the file to disk."""
    size_bytes = file.size_bytes
    file.append(CHECKSUM_TEMPLATE % (_digest(file, size_bytes).encode(), size_bytes))


def matches_checksum(file: HeldFile, digest: str) -> bool:
    """Compare the SHA-256 with the file, which is read to its end."""
    return _digest(file, file.size_bytes - CHECKSUM_LENGTH) == digest


def _digest(file: HeldFile, size_bytes: int) -> str:
    """SHA-256 of the first `size_bytes`, in hex."""
    digest = hashlib.sha256()
    done = 0
    while done < size_bytes and (block := file.read_at(done, min(BLOCK_BYTES, size_bytes - done))):
        digest.update(block)
        done += len(block)
    return digest.hexdigest()
