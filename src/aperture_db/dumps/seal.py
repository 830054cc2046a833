"""The checksum that our dumps carry at their end.

pg_restore ignores what follows an archive, and an archive protects its rows but not its table of
contents: a flipped bit in the definition of a table goes unnoticed. A checksum inside the file
goes wherever the file is copied, and tells our own dumps from others.
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


class Seal(StrEnum):
    """What the end of a file says about it."""

    NONE = "none"
    """No seal: not a dump of ours, or cut right before it."""
    INTACT = "intact"
    """A seal of the right form for a file of this size; the bytes have not been compared."""
    BROKEN = "broken"
    """Traces of a seal, or one for a file of another size."""


def read_seal(path: Path) -> tuple[Seal, str]:
    """What the last bytes of the file say, and the SHA-256 they name (hex)."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size_bytes - LENGTH))
        tail = file.read()
    match = PATTERN.fullmatch(tail)
    if match:
        is_right_size = int(match[2]) == size_bytes - LENGTH
        return (Seal.INTACT if is_right_size else Seal.BROKEN), match[1].decode()
    is_cut = any(tail.endswith(START[:length]) for length in range(4, len(START)))
    if is_cut or any(trace in tail for trace in TRACES):
        return Seal.BROKEN, ""
    return Seal.NONE, ""


def write_seal(path: Path) -> None:
    """Append the checksum of the file to it and have the disk keep both."""
    size_bytes = path.stat().st_size
    digest = _digest(path, size_bytes)
    with path.open("ab") as file:
        file.write(TEMPLATE % (digest.encode(), size_bytes))
        file.flush()
        os.fsync(file.fileno())


def matches(path: Path, digest: str) -> bool:
    """Whether the sealed file's bytes have that SHA-256; reads all of it."""
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
