"""Dump files on disk: their names, their formats, their errors, and their SQL as a stream."""

from __future__ import annotations

import gzip
import re
import shlex
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from aperture_db.dumps.children import Child, running
from aperture_db.dumps.programs import base_environment, newest_programs, too_old_to_read
from aperture_db.dumps.script import DumpScriptError, Read
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.safe_files import HeldFile, hold


class BrokenDumpError(ApertureDbError):
    """A dump is cut short or damaged."""

    default_code = "broken_dump"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


class NotUnderstoodError(ApertureDbError):
    """A dump contains SQL that this tool does not know; it may be undamaged."""

    default_code = "dump_not_understood"


def broken(path: Path, why: str) -> BrokenDumpError:
    """The error for a damaged or incomplete file."""
    return BrokenDumpError(
        f"{path} is damaged or incomplete",
        why=why,
        next_step=f"choose another dump: aperture-db backup --list --dir {_quoted(path.parent)}",
    )


def not_usable(path: Path, why: str, *, code: str = "not_a_dump") -> UsageError:
    """The error for a file that cannot be restored although it may be undamaged."""
    return UsageError(
        f"{path} is not a dump that can be restored",
        why=why,
        next_step="choose a dump made by aperture-db backup or by Aperture: "
        f"aperture-db backup --list --dir {_quoted(path.parent)}",
        code=code,
    )


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


class DumpFormat(StrEnum):
    """The format of a dump; the values are shown to the user."""

    CUSTOM = "custom"
    """pg_dump's custom format, which pg_restore reads."""
    GZIP = "sql.gz"
    PLAIN = "sql"


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


# Enough for everything that this tool reads from the head of a file.
HEAD_BYTES = 512
# First bytes of files that people mistake for a dump, and what they are.
OTHER_KINDS = (
    (b"PK\x03\x04", "it is a zip archive"),
    (b"\xfd7zXZ", "it is compressed with xz; decompress it first"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd; decompress it first"),
    (b"BZh", "it is compressed with bzip2; decompress it first"),
    (b"SQLite format 3", "it is a SQLite database"),
    (b"\xff\xfe", "it is UTF-16 text (PowerShell writes `>` so); make the dump with -f instead"),
    (b"\xfe\xff", "it is UTF-16 text"),
)


@contextmanager
def open_dump(path: Path) -> Iterator[HeldFile]:
    """Open a dump; the file of the block stays the same whatever becomes of its name. Raises
    UsageError."""
    if path.is_dir():
        has_toc = (path / "toc.dat").exists()
        raise not_usable(path, "it is a directory" + (" in pg_dump's format" if has_toc else ""))
    with ExitStack() as stack:
        try:
            if not path.is_file():
                raise _missing(path)
            file = stack.enter_context(hold(path))
        except OSError as error:
            raise UsageError(
                f"cannot read {path}",
                why=str(error.strerror),
                next_step=f"check its permissions: ls -l {_quoted(path)}",
                code="unreadable_file",
            ) from error
        yield file


def detect_format(file: HeldFile) -> DumpFormat:
    """Read the format from the first bytes. Raises UsageError or BrokenDumpError."""
    head = file.read_at(0, HEAD_BYTES)
    if not head:
        raise broken(file.path, "it is empty")
    if head.startswith(b"PGDMP"):
        return DumpFormat.CUSTOM
    if head.startswith(b"\x1f\x8b"):
        return DumpFormat.GZIP
    if head[257:262] == b"ustar":
        raise not_usable(file.path, "it is a tar archive (pg_dump -F t is not supported)")
    for magic, kind in OTHER_KINDS:
        if head.startswith(magic):
            raise not_usable(file.path, kind)
    return DumpFormat.PLAIN


def _missing(path: Path) -> UsageError:
    return UsageError(
        f"{path} does not exist",
        why="there is no such file",
        next_step=f"list the backups: aperture-db backup --list --dir {_quoted(path.parent)}",
        code="no_such_file",
    )


def not_understood(
    file: HeldFile, format_: DumpFormat, why: str, line_number: int
) -> NotUnderstoodError:
    """The error for a statement that pg_dump does not write."""
    name = _quoted(file.path)
    line = {
        DumpFormat.CUSTOM: f"pg_restore -f - {name} | sed -n {line_number}p",
        DumpFormat.GZIP: f"gzip -dc {name} | sed -n {line_number}p",
    }
    return NotUnderstoodError(
        f"{file.path} contains SQL that is not part of a dump",
        why=f"{why}; the SQL of a dump runs with your privileges, so nothing else is run",
        next_step=f"look at it: {line.get(format_, f'sed -n {line_number}p {name}')}",
    )


@contextmanager
def open_script(file: HeldFile, format_: DumpFormat) -> Iterator[Read]:
    """The SQL of a dump as a stream. Damage may show at the end only: the end of the block raises
    BrokenDumpError for it."""
    if format_ is DumpFormat.CUSTOM:
        with _open_archive(file) as read:
            yield read
    elif format_ is DumpFormat.GZIP:
        with file.stream() as packed, gzip.GzipFile(fileobj=packed) as stream:
            yield lambda size: _inflate(file.path, stream, size)
    else:
        with file.stream() as stream:
            yield stream.read1


def _inflate(path: Path, stream: gzip.GzipFile, size: int) -> bytes:
    try:
        return stream.read1(size)
    except (OSError, EOFError, zlib.error) as error:
        raise broken(path, f"gzip cannot decompress it: {error}") from error


@contextmanager
def _open_archive(file: HeldFile) -> Iterator[Read]:
    programs = newest_programs()
    command: list[str | Path] = [programs.pg_restore, "--no-owner", "--no-acl", "--file=-"]
    file.rewind()
    with running(
        command, base_environment(), stdin=file.descriptor, stdout=subprocess.PIPE
    ) as child:
        child.listen()
        try:
            yield child.stdout.read1
        except DumpScriptError:
            # A script that breaks off is the effect; the message of pg_restore names the cause.
            _require_success(file, child)
            raise
        _require_success(file, child)


def _require_success(file: HeldFile, child: Child) -> None:
    while child.stdout.read1(1 << 20):
        # Output left unread would keep the program from exiting.
        pass
    if child.wait() == 0:
        return
    if "unsupported version" in child.complaint:
        raise too_old_to_read(file.path, read_maker(file))
    raise broken(file.path, f"pg_restore cannot read it: {child.complaint}")


def read_maker(file: HeldFile) -> str:
    """The version of the pg_dump that made an archive, from its head; empty if it isn't there."""
    head = file.read_at(0, HEAD_BYTES)
    versions = re.findall(rb"\x00{3}(\d+[\w.]+(?: \([^)]*\))?)\x00", head)
    return versions[-1].decode() if versions else ""


# pg_dump's numbers of the methods, since archive version 1.15.
ARCHIVE_COMPRESSIONS = ("none", "gzip", "lz4", "zstd")


def archive_compression(head: bytes) -> str | None:
    """The compression method that the head of an archive names; None for other files.

    The bytes are: PGDMP, three of the archive's version, the sizes of an integer and an offset,
    the format, then the method; before 1.15 the level as an integer of a sign and its bytes.
    """
    if not head.startswith(b"PGDMP") or len(head) < 20:
        return None
    major, minor, integer_size = head[5], head[6], head[8]
    if (major, minor) >= (1, 15):
        return ARCHIVE_COMPRESSIONS[head[11]] if head[11] < len(ARCHIVE_COMPRESSIONS) else None
    return "gzip" if any(head[12 : 12 + integer_size]) else "none"
