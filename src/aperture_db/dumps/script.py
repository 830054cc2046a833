"""Reads the SQL that pg_dump and pg_restore write, in one pass and in bounded memory.

A comment with name, type and schema precedes every entry of the dump; rows follow a COPY
statement. psql's meta-commands are never run, because one of them (\\!) starts a program.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from itertools import dropwhile, islice
from typing import NamedTuple

from aperture_db.postgres.sql_scanner import (
    SAFE_ENDS,
    UNSAFE_IN_TEXT,
    SqlScanner,
    Token,
    TokenKind,
)

Read = Callable[[int], bytes]
"""Returns at most so many bytes of the script, none at its end."""

BLOCK_BYTES = 1 << 18
# Far beyond what pg_dump writes for a real database, and small enough for any machine.
LONGEST_STATEMENT_BYTES = 16 << 20
# The server takes no longer ones.
LONGEST_RUN_STATEMENT_BYTES = 1 << 30
# Rows and comments are as long as their values: of longer statements only the beginning is kept
# where they are not to be run.
CUT_HEADS = ("INSERT", "COMMENT")
CUT_STATEMENT_BYTES = 1 << 20
# Lines longer than this are read in pieces.
PIECE_BYTES = 1 << 20
LONGEST_PIECE_BYTES = 4 << 20
LONGEST_CREATE_TABLE_BYTES = 4 << 20
MOST_ENTRIES = 200_000
MOST_ENTRY_BYTES = 12 << 20

FIRST_LINE = b"-- PostgreSQL database dump"
CLUSTER_LINE = b"-- PostgreSQL database cluster dump"
LAST_LINE = b"-- PostgreSQL database dump complete"
DUMPED_FROM = b"-- Dumped from database version "
DUMPED_BY = b"-- Dumped by pg_dump version "
HEAD_LINES = 50
LONGEST_HEAD_BYTES = 1 << 20
NOT_A_DUMP = "it does not begin like a script of pg_dump"

KIND = re.compile(rb"[A-Z ]+")
COPY_END = re.compile(rb"\bFROM stdin;\Z", re.IGNORECASE)
# What pg_dump writes to stderr, where that goes into the same file (2>&1).
MESSAGES = (b"pg_dump: ", b"pg_restore: ")
# Newer versions of pg_dump put the first two around a script, so that psql runs no meta-commands
# in it; --create puts the third at its head.
IGNORED_COMMANDS = (b"\\restrict ", b"\\unrestrict ", b"\\connect ")


# Lines of INSERT statements with plain values, of which there may be millions: nothing in them can
# be taken for something else, so that they need not be scanned token by token.
_VALUES = rb"""\((?:[^'"$\\/*();-]++|-(?!-)|'(?:[^'\\]++|'')*+')*+\)"""
PLAIN_INSERT = re.compile(
    rb"INSERT INTO [a-z_]\w*\.\w+ (?:\([\w, ]++\) )?(?:OVERRIDING \w+ VALUE )?VALUES "
    + _VALUES
    + rb";\n"
)
PLAIN_ROW = re.compile(rb"\t" + _VALUES + rb",\n")
INSERT_HEAD = (b"INSERT", b"INTO")


class DumpScriptError(Exception):
    """The script is incomplete, or contains something that pg_dump never writes."""


class NotADumpError(DumpScriptError):
    """The script was not written by pg_dump."""


class TooLargeError(DumpScriptError):
    """The script holds more than this tool reads; it may be undamaged."""


class ClusterDumpError(NotADumpError):
    """The script was written by pg_dumpall."""


class UnknownPartError(DumpScriptError):
    """The script contains something that pg_dump does not write; it may be undamaged."""

    def __init__(self, what: str, line_number: int) -> None:
        super().__init__(what)
        self.line_number = line_number


@dataclass(frozen=True, slots=True)
class DumpEntry:
    """One object of the dump, as the comment before it names it."""

    name: str
    kind: str
    """TABLE, TABLE DATA, INDEX, FK CONSTRAINT, …; empty before the first entry."""
    schema: str
    """Empty for an entry outside of schemas."""


@dataclass(frozen=True)
class DumpStatement:
    """One statement with its semicolon; `head` holds its first words in upper case.

    A long one of CUT_HEADS is cut, unless the reader keeps whole statements.
    """

    entry: DumpEntry
    text: bytes
    head: tuple[bytes, ...]
    line_number: int
    """Of its last line."""


@dataclass(frozen=True)
class CopyData:
    """A COPY … FROM stdin and its rows, one per line. Read the blocks before the next part."""

    entry: DumpEntry
    text: bytes
    line_number: int
    """Of the statement's last line."""
    blocks: Iterator[bytes]


Part = DumpStatement | CopyData
PREAMBLE = DumpEntry("", "", "")


ANY_BYTES = "surrogateescape"
"""Names in dumps of SQL_ASCII databases are any bytes, and have to equal those of the catalogs."""


def name_in_comments(name: str) -> str:
    """A name as the comments of a dump write it: pg_dump puts a space for a line break."""
    return name.replace("\n", " ").replace("\r", " ")


def _read_entry(comment: bytes) -> DumpEntry | None:
    """The entry that a comment names, in linear time; None for any other comment."""
    text = comment.removeprefix(b"-- ").removeprefix(b"Data for ").removeprefix(b"Statistics for ")
    name, has_kind, rest = text.removeprefix(b"Name: ").rpartition(b"; Type: ")
    kind, has_schema, rest = rest.partition(b"; Schema: ")
    # An extension has no owner, and its comment has none behind the colon.
    schema, has_owner, _ = rest.partition(b"; Owner:")
    is_entry = text.startswith(b"Name: ") and has_kind and has_schema and has_owner
    if not is_entry or not KIND.fullmatch(kind):
        return None
    names = [part.decode(errors=ANY_BYTES) for part in (name, kind, schema)]
    schema_name = "" if names[2] == "-" else names[2]
    return DumpEntry(names[0], sys.intern(names[1]), sys.intern(schema_name))


class CreatedTable(NamedTuple):
    """What CREATE TABLE says, where the comment of the entry may not be exact."""

    schema: str
    name: str
    is_partitioned: bool
    columns: frozenset[str]
    """Empty for a partition of another table, whose columns stand there."""
    constraints: frozenset[str]


def created_table(statement: bytes) -> CreatedTable | None:
    """Read CREATE TABLE; None where the name has no schema, and for a statement of a size that no
    table has."""
    if len(statement) > LONGEST_CREATE_TABLE_BYTES:
        return None
    rest = SqlScanner().tokens(statement.decode(errors=ANY_BYTES))
    name = list(islice(dropwhile(lambda token: token.text != "TABLE", rest), 1, 5))
    if len(name) < 4 or name[1].text != ".":
        return None
    columns, constraints = set(), set()
    depth = 0
    is_partitioned = False
    before, token = name[2:]
    for after in rest:
        if token.kind is TokenKind.SYMBOL:
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        starts_item = depth == 1 and before.kind is TokenKind.SYMBOL and before.text in "(,"
        is_name = token.kind in (TokenKind.WORD, TokenKind.NAME)
        if starts_item and token.kind is TokenKind.WORD and token.text == "CONSTRAINT":
            constraints.add(_identifier(after))
        elif starts_item and is_name:
            columns.add(_identifier(token))
        elif depth == 0 and (before.text, token.text) == ("PARTITION", "BY"):
            is_partitioned = True
        before, token = token, after
    return CreatedTable(
        _identifier(name[0]),
        _identifier(name[2]),
        is_partitioned,
        frozenset() if name[3].text == "PARTITION" else frozenset(columns),
        frozenset(constraints),
    )


def _identifier(token: Token) -> str:
    return token.text.lower() if token.kind is TokenKind.WORD else token.text


END_MARK = b"\\.\n"


class ScriptReader:
    """One pass over a script. The attributes are known once `parts` is exhausted.

    Without `keeps_statements` it takes bounded memory, whatever the script holds.
    """

    def __init__(self, read: Read, *, keeps_statements: bool = False) -> None:
        self._read = read
        self._keeps_statements = keeps_statements
        self._is_line_start = True
        self._buffer = b""
        self._position = 0
        self._scanner = SqlScanner()
        self._pending = bytearray()
        self._entry = PREAMBLE
        self._line_number = 0
        self._is_dump = False
        self._entry_bytes = 0
        self.entries: dict[DumpEntry, None] = {}
        """Every entry in order, including those of tables without rows."""
        self.is_complete = False
        """The last comment that pg_dump writes was reached."""
        self.dumped_from = ""
        """Version of the dumped server, as the script names it: `16.4 (Debian …)`."""
        self.dumped_by = ""

    def parts(self) -> Iterator[Part]:
        """The statements and the rows, in order. Raises DumpScriptError."""
        while line := self._next_piece():
            is_line = self._is_line_start
            self._is_line_start = line.endswith(b"\n")
            self._line_number += is_line
            if not self._is_dump and self._line_number > HEAD_LINES:
                raise NotADumpError(NOT_A_DUMP)
            if self._scanner.is_between_statements:
                self._pending.clear()
                if is_line and line.startswith((b"--", b"\\", *MESSAGES)):
                    self._skip_line()
                    if line.startswith(b"--"):
                        self._note(line.rstrip(b"\r\n"))
                    elif line.startswith(b"\\"):
                        self._ignore_command(line)
                    continue
            yield from self._statements(line)
        if not self._is_dump:
            raise NotADumpError(NOT_A_DUMP)
        # What follows the end without a semicolon came from stderr, too.
        if not self.is_complete:
            raise DumpScriptError("it ends before the dump is complete")

    def _note(self, comment: bytes) -> None:
        if entry := _read_entry(comment):
            self._entry = entry
            self.entries[entry] = None
            self._entry_bytes += len(comment)
            if len(self.entries) > MOST_ENTRIES or self._entry_bytes > MOST_ENTRY_BYTES:
                raise TooLargeError(f"it names more than {MOST_ENTRIES:,} objects")
        elif comment.startswith(LAST_LINE):
            self.is_complete = True
        elif comment.startswith(CLUSTER_LINE):
            raise ClusterDumpError("it is a dump of a whole cluster (pg_dumpall)")
        elif comment.startswith(FIRST_LINE):
            self._is_dump, self.is_complete = True, False
        elif comment.startswith(DUMPED_FROM):
            self.dumped_from = comment.removeprefix(DUMPED_FROM).decode(errors="replace")
        elif comment.startswith(DUMPED_BY):
            self.dumped_by = comment.removeprefix(DUMPED_BY).decode(errors="replace")

    def _ignore_command(self, line: bytes) -> None:
        if not line.startswith(IGNORED_COMMANDS):
            # No further than its name: in a damaged dump it may be a row.
            shown = line.split()[0].decode(errors="replace")[:12]
            raise UnknownPartError(
                f"line {self._line_number} is a psql meta-command: {shown}", self._line_number
            )

    def _statements(self, line: bytes) -> Iterator[Part]:
        """The statements that end in this line. A COPY is followed by its rows on the next one."""
        if self._scanner.is_between_statements and PLAIN_INSERT.fullmatch(line):
            yield DumpStatement(self._entry, line, INSERT_HEAD, self._line_number)
            return
        start = 0
        is_plain = self._scanner.is_between_values and PLAIN_ROW.fullmatch(line)
        text = "" if is_plain else line.decode("latin-1")
        while (end := self._scanner.find_end(text, start)) is not None:
            self._pending += line[start:end]
            statement = bytes(self._pending)
            self._pending.clear()
            start = end
            head = tuple(word.encode("latin-1") for word in self._scanner.head)
            if head[:1] == (b"COPY",) and COPY_END.search(statement):
                yield from self._copy(statement.strip())
            elif head:
                yield DumpStatement(self._entry, statement, head, self._line_number)
        self._pending += line[start:]
        if len(self._pending) > CUT_STATEMENT_BYTES:
            self._bound_statement()

    def _bound_statement(self) -> None:
        if self._keeps_statements:
            longest = LONGEST_RUN_STATEMENT_BYTES
        elif self._scanner.head[:1] and self._scanner.head[0] in CUT_HEADS:
            del self._pending[CUT_STATEMENT_BYTES:]
            return
        else:
            longest = LONGEST_STATEMENT_BYTES
        if len(self._pending) > longest:
            raise TooLargeError(
                f"the statement at line {self._line_number} is longer than {longest >> 20} MB"
            )

    def _copy(self, statement: bytes) -> Iterator[CopyData]:
        blocks = self._copy_blocks()
        yield CopyData(self._entry, statement, self._line_number, blocks)
        for _ in blocks:
            # Skip the rows that the caller did not read.
            continue

    def _copy_blocks(self) -> Iterator[bytes]:
        """The rows up to the line with the end mark, which is consumed."""
        is_line_start = True
        while not (is_line_start and self._buffer.startswith(END_MARK, self._position)):
            end = self._buffer.find(b"\n" + END_MARK, self._position)
            if end >= 0:
                yield self._take(end + 1)
                break
            # The last bytes may be the beginning of the end mark: keep them for the next search.
            safe_end = max(self._position, len(self._buffer) - len(END_MARK))
            if safe_end > self._position:
                is_line_start = self._buffer[safe_end - 1 : safe_end] == b"\n"
                yield self._take(safe_end)
            if not self._refill():
                raise DumpScriptError(f"it ends inside the rows of {self._entry.name}")
        self._position += len(END_MARK)
        self._line_number += 1

    def _take(self, end: int) -> bytes:
        taken = self._buffer[self._position : end]
        self._line_number += taken.count(b"\n")
        self._position = end
        return taken

    def _next_piece(self, *, is_skipped: bool = False) -> bytes:
        """The next line with its newline, or a piece of a long one; the last one may lack the
        newline; empty at the end."""
        searched = self._position
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer) - self._position
            if searched > PIECE_BYTES and (end := self._find_split(is_skipped=is_skipped)) >= 0:
                break
            if searched > LONGEST_PIECE_BYTES:
                raise TooLargeError(f"line {self._line_number + 1} has a word of more than 4 MB")
            if not self._refill():
                end = len(self._buffer) - 1
                break
            if not self._is_dump and len(self._buffer) > LONGEST_HEAD_BYTES:
                raise NotADumpError(NOT_A_DUMP)
        piece = self._buffer[self._position : end + 1]
        self._position = end + 1
        return piece

    def _find_split(self, *, is_skipped: bool) -> int:
        """The offset of a byte in the buffer behind which no token goes on, -1 if there is none."""
        if is_skipped:
            return len(self._buffer) - 1
        start = self._position
        end = max(self._buffer.rfind(each, start) for each in SAFE_ENDS)
        if end - start < PIECE_BYTES // 2:
            # A value without such bytes: its text may be split, if this is where it is.
            piece = self._buffer[start:].rstrip(UNSAFE_IN_TEXT)
            scanner = copy(self._scanner)
            for _ in scanner.tokens(piece.decode("latin-1")):
                continue
            if piece and scanner.is_in_text:
                end = start + len(piece) - 1
        return end

    def _skip_line(self) -> None:
        while not self._is_line_start and (piece := self._next_piece(is_skipped=True)):
            self._is_line_start = piece.endswith(b"\n")

    def _refill(self) -> bool:
        """Add what can be read now; False at the script's end."""
        block = self._read(BLOCK_BYTES)
        self._buffer = self._buffer[self._position :] + block
        self._position = 0
        return bool(block)
