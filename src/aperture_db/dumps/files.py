"""Dump files on disk: their names, their formats, and their SQL as a stream."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

from aperture_db.dumps import (
    CUSTOM,
    PLAIN,
    BrokenDumpError,
    DumpFormat,
    Packer,
    find_packer,
)
from aperture_db.dumps.children import Child, running
from aperture_db.dumps.programs import base_environment, newest_programs, too_old_to_read
from aperture_db.dumps.refusals import (
    broken,
    free_name,
    missing,
    not_usable,
    reading,
    refuse_other,
    to_script,
)
from aperture_db.dumps.script import DumpScriptError, NotADumpError, Read, TooLargeError
from aperture_db.errors import UsageError, lack_of_resources
from aperture_db.format import shell_command
from aperture_db.safe_files import HeldFile, hold

# Enough for everything that this tool reads from the head of a file.
HEAD_BYTES = 512
TRANSLATED_BYTES, FEWEST_LINE_FEEDS = 64 << 10, 8
# What `xz -9` needs, and a little more.
MOST_XZ_BYTES = 70 << 20
BLOCK_BYTES = 1 << 16
Packed: TypeAlias = "gzip.GzipFile | XzReader | bz2.BZ2File"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@contextmanager
def open_dump(path: Path) -> Iterator[HeldFile]:
    """Open a dump; the file of the block stays the same whatever becomes of its name. Raises
    UsageError."""
    if path.is_dir():
        if (path / "toc.dat").exists() or (path / "toc.dat.gz").exists():
            raise not_usable(
                path, "it is a directory in pg_dump's format", next_step=to_script(path)
            )
        raise not_usable(path, "it is a directory")
    with ExitStack() as stack:
        try:
            if not path.exists():
                raise missing(path)
            if not path.is_file():
                saved = shell_command(free_name(Path("saved.dump")))
                next_step = f"restore what this saves: cat {shell_command(path)} > {saved}"
                raise not_usable(path, "it is a FIFO or a device", next_step=next_step)
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
        _require_untranslated(file)
        return CUSTOM
    if packer := find_packer(head):
        return _detect_packed(file, packer)
    refuse_other(file.path, head)
    return PLAIN


def _require_untranslated(file: HeldFile) -> None:
    """Raise BrokenDumpError for an archive that went through a terminal, as by docker exec -t: each
    line feed has become two characters. In one that did not, every 256th byte is one."""
    head = file.read_at(0, TRANSLATED_BYTES)
    if (count := head.count(b"\n")) >= FEWEST_LINE_FEEDS and head.count(b"\r\n") == count:
        why = "a terminal has put a carriage return before each line feed, as docker exec -t does"
        error = broken(file.path, why)
        error.next_steps = ("dump again without -t", *error.next_steps)
        raise error


def _detect_packed(file: HeldFile, packer: Packer) -> DumpFormat:
    head = b""
    with _unpacked(file, packer) as read:
        while len(head) < HEAD_BYTES and (block := read(HEAD_BYTES - len(head))):
            head += block
    if not head:
        raise broken(file.path, "what it decompresses to is empty")
    if head.startswith(b"PGDMP"):
        return DumpFormat(f"{CUSTOM}.{packer.ending}")
    if inner := find_packer(head):
        unpacked = shell_command(free_name(file.path.with_suffix("")))
        raise not_usable(
            file.path,
            "it was compressed more than once",
            next_step="decompress it, then restore the result: "
            f"{reading(f'{inner.program} -dc', file.path, packer)} > {unpacked}",
        )
    refuse_other(file.path, head, packer)
    return DumpFormat(f"{PLAIN}.{packer.ending}")


@contextmanager
def open_script(file: HeldFile, format_: DumpFormat) -> Iterator[Read]:
    """The SQL of a dump as a stream. Damage may show at the end only: the end of the block raises
    BrokenDumpError for it."""
    with ExitStack() as stack:
        if packer := format_.packer:
            read = stack.enter_context(_unpacked(file, packer))
            if format_.is_archive:
                read = stack.enter_context(_open_archive(file, read))
        elif format_.is_archive:
            read = stack.enter_context(_open_archive(file))
        else:
            read = stack.enter_context(file.stream()).read1
        yield read if format_.is_archive else plain_text(read)


@contextmanager
def _unpacked(file: HeldFile, packer: Packer) -> Iterator[Read]:
    """What a compressed file decompresses to. Reading raises BrokenDumpError."""
    unpacked = _unpacked_by_program if packer.program in ("zstd", "lz4") else _unpacked_by_library
    with unpacked(file, packer) as read:
        try:
            yield read
        except (NotADumpError, TooLargeError):
            raise
        except (DumpScriptError, BrokenDumpError):
            # What makes no sense may come from damage, which shows in the checksum at the end.
            while read(BLOCK_BYTES):
                pass
            raise


@contextmanager
def _unpacked_by_library(file: HeldFile, packer: Packer) -> Iterator[Read]:
    with file.stream() as packed:
        stream: Packed
        if packer.program == "gzip":
            stream = gzip.GzipFile(fileobj=packed)
        elif packer.program == "xz":
            stream = XzReader(packed)
        else:
            stream = bz2.BZ2File(packed)
        yield lambda size: _inflate(file.path, packer, stream, size)


@contextmanager
def _unpacked_by_program(file: HeldFile, packer: Packer) -> Iterator[Read]:
    command = [packer.program, "-dc"]
    with ExitStack() as stack:
        try:
            child = stack.enter_context(
                running(command, base_environment(), stdin=file.rewound(), stdout=subprocess.PIPE)
            )
        except OSError as error:
            if lacking := lack_of_resources(f"{packer.program} could not be started", error):
                raise lacking from error
            raise not_usable(
                file.path,
                f"it is compressed with {packer.program}, which is not installed here",
                next_step=f"install {packer.program}, or decompress it elsewhere, then restore the "
                f"result: {packer.program} -dk {shell_command(file.path)}",
            ) from error
        child.listen()
        child.watch()

        def read(size: int) -> bytes:
            block = child.stdout.read1(size)
            if not block and child.wait() != 0:
                raise _not_unpacked(file.path, packer, child.complaint)
            return block

        yield read


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


def _inflate(path: Path, packer: Packer, stream: Packed, size: int) -> bytes:
    try:
        return stream.read1(size)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise _not_unpacked(path, packer, str(error)) from error


def _not_unpacked(path: Path, packer: Packer, reason: str) -> BrokenDumpError:
    return broken(path, f"{packer.program} cannot decompress it: {reason}")


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
def _open_archive(file: HeldFile, unpacked: Read | None = None) -> Iterator[Read]:
    """The script that pg_restore makes of an archive: of the file itself, or of what it
    decompresses to."""
    programs = newest_programs()
    command: list[str | Path] = [programs.pg_restore, "--no-owner", "--no-acl", "--file=-"]
    stdin = subprocess.PIPE if unpacked else file.rewound()
    with running(command, base_environment(), stdin=stdin, stdout=subprocess.PIPE) as child:
        child.listen()
        child.watch()
        if unpacked:
            child.feed(unpacked)
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
    if packer := find_packer(head):
        with _unpacked(file, packer) as read:
            head = read(HEAD_BYTES)
    versions = re.findall(rb"\x00{3}(\d+[\w.]+(?: \([^)]*\))?)\x00", head)
    return versions[-1].decode() if versions else ""
