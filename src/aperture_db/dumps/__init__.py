"""Dump files of PostgreSQL: their names, formats and errors. The modules know their contents, and
the client programs that write and read them.

`backup` makes dumps, `restore` applies them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from aperture_db.errors import ApertureDbError


class BrokenDumpError(ApertureDbError):
    """A dump is cut short or damaged."""

    default_code = "broken_dump"


class NotUnderstoodError(ApertureDbError):
    """A dump contains SQL that this tool does not know; it may be undamaged."""

    default_code = "dump_not_understood"


TIME_FORMAT = "%Y-%m-%d_%H-%M-%S"
# Aperture's page lists files with the first prefix and these endings, and prunes them.
NAME = re.compile(
    r"aperture_(?P<purpose>backup|before_restore|before_purge|uploaded)_?(?P<rest>.*?)"
    r"\.(?:dump|sql|sql\.gz)"
)
NAME_TIME = re.compile(r"\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}")


class Purpose(StrEnum):
    """The purpose of a dump; the first part of its name."""

    BACKUP = "backup"
    BEFORE_RESTORE = "before_restore"
    """The safety backup of `restore`. Aperture's page does not list it; it is never pruned."""
    BEFORE_PURGE = "before_purge"
    """The backup that `purge` makes first. The same holds for it."""
    UPLOADED = "uploaded"
    """Uploaded through Aperture's page."""


class Packer(NamedTuple):
    """A program that compresses files."""

    program: str
    ending: str
    magics: tuple[bytes, ...]
    """What its files begin with."""
    always_has_checksum: bool = False
    """Of all that was compressed. Others leave it out on request."""


PACKERS = (
    Packer("gzip", "gz", (b"\x1f\x8b",), always_has_checksum=True),
    Packer("xz", "xz", (b"\xfd7zXZ",)),
    Packer("bzip2", "bz2", (b"BZh",), always_has_checksum=True),
    # pzstd begins with a frame to be skipped.
    Packer("zstd", "zst", (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")),
    # The second is that of `lz4 -l`.
    Packer("lz4", "lz4", (b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18")),
)


def find_packer(head: bytes) -> Packer | None:
    """The program that made a file with these first bytes."""
    return next((packer for packer in PACKERS if head.startswith(packer.magics)), None)


class DumpFormat(str):
    """The format of a dump as it is shown to the user: `sql` or `custom`, and the ending of what
    compressed it afterwards (`sql.gz`)."""

    __slots__ = ()

    @property
    def is_archive(self) -> bool:
        """pg_dump's custom format, which pg_restore reads."""
        return self.startswith(CUSTOM)

    @property
    def packer(self) -> Packer | None:
        """The program with which it was compressed afterwards."""
        ending = self.partition(".")[2]
        return next((packer for packer in PACKERS if packer.ending == ending), None)


CUSTOM, PLAIN = DumpFormat("custom"), DumpFormat("sql")


# pg_dump's numbers of the methods, since archive version 1.15.
ARCHIVE_COMPRESSIONS = ("none", "gzip", "lz4", "zstd")


def archive_compression(head: bytes) -> str | None:
    """The compression method that the head of an archive names; None for other files.

    The bytes are: PGDMP, three of the archive's version, the sizes of an integer and an offset,
    the format, then the method; before 1.15 the level as an integer of a sign and its bytes.
    """
    if not head.startswith(b"PGDMP") or len(head) < 20:
        return None
    if (head[5], head[6]) >= (1, 15):
        return ARCHIVE_COMPRESSIONS[head[11]] if head[11] < len(ARCHIVE_COMPRESSIONS) else None
    return "gzip" if any(head[12 : 12 + head[8]]) else "none"


@dataclass(frozen=True)
class FileName:
    """The parts of a dump's name."""

    purpose: Purpose
    made_at: datetime | None


def make_name(purpose: Purpose, made_at: datetime) -> str:
    """The name of a new dump, with its time in UTC as Aperture writes it."""
    return f"aperture_{purpose.value}_{made_at.astimezone(UTC):{TIME_FORMAT}}.dump"


def read_name(name: str) -> FileName | None:
    """None for a file that neither Aperture nor this tool named."""
    match = NAME.fullmatch(name)
    if not match:
        return None
    made_at = None
    if time := NAME_TIME.search(match["rest"]):
        try:
            made_at = datetime.strptime(time[0], TIME_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            made_at = None
    return FileName(Purpose(match["purpose"]), made_at)
