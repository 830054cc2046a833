"""Dump files on disk: their names, their formats, their errors, and their SQL as a stream."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, TypeAlias

from aperture_db.dumps.children import Child, running
from aperture_db.dumps.programs import base_environment, newest_programs, too_old_to_read
from aperture_db.dumps.script import DumpScriptError, Read
from aperture_db.errors import ApertureDbError, UsageError, lack_of_resources
from aperture_db.format import shell_command
from aperture_db.safe_files import HeldFile, hold


class BrokenDumpError(ApertureDbError):
    """A dump is cut short or damaged."""

    default_code = "broken_dump"


class NotUnderstoodError(ApertureDbError):
    """A dump contains SQL that this tool does not know; it may be undamaged."""

    default_code = "dump_not_understood"


def _list_backups(path: Path) -> str:
    return shell_command("aperture-db", "backup", "--list", "--dir", path.parent)


def broken(path: Path, why: str) -> BrokenDumpError:
    """The error for a damaged or incomplete file."""
    return BrokenDumpError(
        f"{path} is damaged or incomplete",
        why=why,
        next_step=f"choose another dump: {_list_backups(path)}",
    )


def too_large(path: Path, why: str) -> NotUnderstoodError:
    """The error for a script of a size that is not read."""
    return NotUnderstoodError(
        f"{path} is too large to be verified",
        why=why,
        next_step="dump the database again with pg_dump -Fc, or with aperture-db backup",
    )


def not_usable(
    path: Path, why: str, *, next_step: str = "", code: str = "not_a_dump"
) -> UsageError:
    """The error for a file that cannot be restored although it may be undamaged. `next_step` is
    the command that makes it usable, where there is one."""
    return UsageError(
        f"{path} is not a dump that can be restored",
        why=why,
        next_step=next_step
        or f"choose a dump made by aperture-db backup or by Aperture: {_list_backups(path)}",
        code=code,
    )


def cluster_dump(path: Path) -> UsageError:
    """The error for a script of pg_dumpall, in which the databases follow each other."""
    part = "/^\\\\connect aperture/,/^-- PostgreSQL database dump complete/p"
    return not_usable(
        path,
        "it is a dump of a whole cluster (pg_dumpall)",
        next_step="extract Aperture's database (here: aperture), then restore that: "
        f"sed -n {shell_command(part)} {shell_command(path)} > aperture.sql",
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
    XZ = "sql.xz"
    BZIP2 = "sql.bz2"
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
# Compressed files by their first bytes, and the program that decompresses them.
PACKED = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ", "xz"),
    (b"BZh", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
)
Packed: TypeAlias = "gzip.GzipFile | XzReader | bz2.BZ2File"
# What `xz -9` needs, and a little more.
MOST_XZ_BYTES = 70 << 20
BLOCK_BYTES = 1 << 16
# Those that this tool decompresses itself.
PACKED_FORMATS = {"gzip": DumpFormat.GZIP, "xz": DumpFormat.XZ, "bzip2": DumpFormat.BZIP2}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@contextmanager
def open_dump(path: Path) -> Iterator[HeldFile]:
    """Open a dump; the file of the block stays the same whatever becomes of its name. Raises
    UsageError."""
    if path.is_dir():
        if (path / "toc.dat").exists() or (path / "toc.dat.gz").exists():
            raise not_usable(
                path, "it is a directory in pg_dump's format", next_step=_to_script(path)
            )
        raise not_usable(path, "it is a directory")
    with ExitStack() as stack:
        try:
            if not path.is_file():
                raise _missing(path)
            file = stack.enter_context(hold(path))
        except OSError as error:
            if lacking := lack_of_resources(f"{path} could not be opened", error):
                raise lacking from error
            raise UsageError(
                f"cannot read {path}",
                why=str(error.strerror),
                next_step=f"check its permissions: ls -l {shell_command(path)}",
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
    for magic, program in PACKED:
        if head.startswith(magic):
            return _detect_packed(file, program)
    _refuse_other(file.path, head)
    return DumpFormat.PLAIN


def _detect_packed(file: HeldFile, program: str) -> DumpFormat:
    name = shell_command(file.path)
    unpack = f"decompress it, then restore the result: {program} -dk {name}"
    if program not in PACKED_FORMATS:
        raise not_usable(file.path, f"it is compressed with {program}", next_step=unpack)
    format_ = PACKED_FORMATS[program]
    with _unpacked(file, format_) as read:
        head = b""
        while len(head) < HEAD_BYTES and (block := read(HEAD_BYTES - len(head))):
            head += block
    if head.startswith(b"PGDMP"):
        raise not_usable(file.path, f"it is a dump compressed with {program}", next_step=unpack)
    _refuse_other(file.path, head, unpack=f"{program} -dc {name} | ")
    return format_


def _refuse_other(path: Path, head: bytes, *, unpack: str = "") -> None:
    """Raise UsageError for files that people mistake for a dump, with the way out."""
    name = shell_command(path)
    if head[257:262] == b"ustar" and head.startswith(b"toc.dat\0"):
        source = "" if unpack else f" {name}"
        raise not_usable(
            path,
            "it is a tar archive of pg_dump (-F t)",
            next_step=f"make a script of it, then restore that: {unpack}pg_restore -f "
            f"{shell_command(path.with_suffix('.sql'))}{source}",
        )
    if head[257:262] == b"ustar":
        raise not_usable(
            path, "it is a tar archive", next_step=f"restore a file of it: tar -xf {name}"
        )
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise not_usable(
            path,
            "it is UTF-16 text, as PowerShell writes it with >",
            next_step="convert it, then restore the result (pg_dump -f avoids it): "
            f"iconv -f UTF-16 -t UTF-8 {name} > {shell_command(path.with_suffix('.utf8.sql'))}",
        )
    if head.startswith(b"PK\x03\x04"):
        raise not_usable(path, "it is a zip archive", next_step=f"unzip {name}")
    if head.startswith(b"SQLite format 3"):
        raise not_usable(path, "it is a SQLite database")


def _to_script(path: Path) -> str:
    script = shell_command(path.with_suffix(".sql"))
    return f"make a script of it, then restore that: pg_restore -f {script} {shell_command(path)}"


def _missing(path: Path) -> UsageError:
    return UsageError(
        f"{path} does not exist",
        why="there is no such file",
        next_step=f"list the backups: {_list_backups(path)}",
        code="no_such_file",
    )


def not_understood(
    file: HeldFile, format_: DumpFormat, why: str, line_number: int
) -> NotUnderstoodError:
    """The error for a statement that pg_dump does not write."""
    name = shell_command(file.path)
    line = {each: f"{program} -dc {name} | " for program, each in PACKED_FORMATS.items()}
    line |= {DumpFormat.CUSTOM: f"pg_restore -f - {name} | "}
    source = "" if format_ in line else f" {name}"
    return NotUnderstoodError(
        f"{file.path} contains SQL that is not part of a dump",
        why=f"{why}; the SQL of a dump runs with your privileges, so nothing else is run",
        next_step=f"look at it: {line.get(format_, '')}sed -n {line_number}p{source}",
    )


@contextmanager
def open_script(file: HeldFile, format_: DumpFormat) -> Iterator[Read]:
    """The SQL of a dump as a stream. Damage may show at the end only: the end of the block raises
    BrokenDumpError for it."""
    if format_ is DumpFormat.CUSTOM:
        with _open_archive(file) as read:
            yield read
    elif format_ is DumpFormat.PLAIN:
        with file.stream() as stream:
            yield plain_text(stream.read1)
    else:
        with _unpacked(file, format_) as read:
            yield plain_text(read)


@contextmanager
def _unpacked(file: HeldFile, format_: DumpFormat) -> Iterator[Read]:
    program = {each: program for program, each in PACKED_FORMATS.items()}[format_]
    with file.stream() as packed:
        stream: Packed
        if format_ is DumpFormat.GZIP:
            stream = gzip.GzipFile(fileobj=packed)
        elif format_ is DumpFormat.XZ:
            stream = XzReader(packed)
        else:
            stream = bz2.BZ2File(packed)
        yield lambda size: _inflate(file.path, program, stream, size)


class XzReader:
    """Decompresses what `xz` writes, in bounded memory: the head of a file may ask for 4 GB."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._decoder = lzma.LZMADecompressor(memlimit=MOST_XZ_BYTES)

    def read1(self, size: int) -> bytes:
        block = b""
        while not block:
            data = b""
            if self._decoder.eof:
                data = self._decoder.unused_data.lstrip(b"\0")
                while not data and (more := self._packed.read(BLOCK_BYTES)):
                    data = more.lstrip(b"\0")
                if not data:
                    return b""
                self._decoder = lzma.LZMADecompressor(memlimit=MOST_XZ_BYTES)
            elif self._decoder.needs_input and not (data := self._packed.read(BLOCK_BYTES)):
                raise EOFError("it ends too early")
            block = self._decoder.decompress(data, size)
        return block


def _inflate(path: Path, program: str, stream: Packed, size: int) -> bytes:
    try:
        return stream.read1(size)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise broken(path, f"{program} cannot decompress it: {error}") from error


def plain_text(read: Read) -> Read:
    """Take away what Windows and terminals add to a script: a byte order mark, and the carriage
    return before every line feed (docker exec -t), if the first line has one."""
    is_first = True
    has_returns = False
    held = b""

    def read_text(size: int) -> bytes:
        nonlocal is_first, has_returns, held
        block = read(size)
        if is_first:
            is_first = False
            while block.count(b"\n") == 0 and len(block) < HEAD_BYTES and (more := read(size)):
                block += more
            block = block.removeprefix(BYTE_ORDER_MARK)
            has_returns = block.partition(b"\n")[0].endswith(b"\r")
        if not has_returns:
            return block
        while True:
            joined = held + block
            held = b"\r" if joined.endswith(b"\r") and block else b""
            text = joined.removesuffix(held).replace(b"\r\n", b"\n")
            if text or not block:
                return text
            block = read(size)

    return read_text


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
