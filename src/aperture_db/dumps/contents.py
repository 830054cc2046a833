"""What is in a dump, known from reading all of it."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from aperture_db.aperture import is_aperture
from aperture_db.dumps import seal
from aperture_db.dumps.failures import broken, not_usable
from aperture_db.dumps.files import Format, detect_format, open_script, read_name
from aperture_db.dumps.script import (
    CopyData,
    Entry,
    NotADumpError,
    Part,
    ScriptError,
    ScriptReader,
    Statement,
)
from aperture_db.dumps.seal import Seal
from aperture_db.progress import Event, Progress

MIGRATIONS_TABLE = "aperture_migrations"
INSERTED_NAME = re.compile(rb"'([^']+\.sql)'")
DATA = "TABLE DATA"
EXTENSION_STATEMENT = re.compile(
    r'CREATE EXTENSION IF NOT EXISTS ("?)(?P<name>[^"]+?)\1 WITH SCHEMA ("?)(?P<schema>[^"]+?)\3;'
)
# Statements that would end the one transaction in which a dump is restored.
TRANSACTION_WORDS = {
    b"ABORT", b"BEGIN", b"COMMIT", b"END", b"PREPARE", b"RELEASE", b"ROLLBACK", b"SAVEPOINT",
    b"START",
}  # fmt: skip


@dataclass(frozen=True)
class DumpedTable:
    """A table of the dump."""

    schema: str
    name: str
    has_data: bool
    """False where the dump was made without this table's rows."""
    row_count: int | None
    """None where they are missing, or written as INSERT statements, which only the server can
    count."""

    def __str__(self) -> str:
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"


def count_rows(tables: Iterable[DumpedTable]) -> int | None:
    """The rows in the dump; None where the dump doesn't tell how many there are."""
    counts = [table.row_count for table in tables if table.has_data]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


@dataclass(frozen=True)
class DumpedExtension:
    name: str
    schema: str


@dataclass(frozen=True)
class DumpContents:
    """A dump that was read whole and found intact."""

    path: Path
    size_bytes: int
    format: Format
    is_sealed: bool
    """It carries our checksum, and the checksum is right."""
    made_at: datetime | None
    """From its name."""
    dumped_from: str
    """Version of the server, `16.4 (Debian …)`."""
    dumped_by: str
    """Version of pg_dump."""
    tables: tuple[DumpedTable, ...]
    migrations: tuple[str, ...]
    """What aperture_migrations records, in order of the names."""
    extensions: tuple[DumpedExtension, ...]
    entries: tuple[Entry, ...] = field(repr=False, metadata={"json": False})

    @property
    def row_count(self) -> int | None:
        return count_rows(self.tables)

    @property
    def last_migration(self) -> str | None:
        return self.migrations[-1] if self.migrations else None

    @property
    def aperture_schemas(self) -> frozenset[str]:
        """The schemas that hold Aperture's tables. One name proves nothing: many a database of
        somebody else's has a table `users`."""
        return frozenset(
            schema
            for schema in {table.schema for table in self.tables}
            if is_aperture(table.name for table in self.tables if table.schema == schema)
        )

    @property
    def server_major(self) -> int | None:
        match = re.match(r"\d+", self.dumped_from)
        return int(match[0]) if match else None

    @property
    def is_empty(self) -> bool:
        """A dump of a database without a single table."""
        return not self.tables


@dataclass(frozen=True)
class ContentsRead:
    """The reading is over, and nothing is wrong with the dump."""

    contents: DumpContents


def read_contents(path: Path) -> Iterator[Event | ContentsRead]:
    """Read a dump to its end; the last event is the result.

    Raises BrokenDumpError for a damaged or incomplete file, UsageError for one that is no dump,
    ClientProgramError where no pg_restore is there to read it.
    """
    format_ = detect_format(path)
    is_sealed = yield from _check_seal(path)
    survey = _Survey()
    try:
        with open_script(path, format_) as read:
            reader = ScriptReader(read)
            for part in reader.parts():
                yield from survey.take(part)
    except NotADumpError as error:
        raise not_usable(path, str(error)) from error
    except ScriptError as error:
        raise broken(path, str(error)) from error
    yield ContentsRead(survey.contents(path, format_, reader, is_sealed=is_sealed))


def _check_seal(path: Path) -> Generator[Event, None, bool]:
    """Returns whether the dump is sealed; raises BrokenDumpError where the seal is broken."""
    state, digest = seal.read_seal(path)
    if state is Seal.NONE:
        return False
    yield Progress("comparing the checksum", 0, None)
    if state is Seal.BROKEN or not seal.matches(path, digest):
        raise broken(path, "its content does not match the checksum that it was made with")
    return True


class _Survey:
    """Collects what the parts of a script tell."""

    def __init__(self) -> None:
        self._row_counts: dict[tuple[str, str], int | None] = {}
        self._extensions: list[DumpedExtension] = []
        self._migrations: set[str] = set()

    def take(self, part: Part) -> Iterator[Event]:
        entry = part.entry
        match part:
            case CopyData():
                yield Progress(f"reading {entry.name}", len(self._row_counts), None)
                self._count_rows(part)
            case Statement(head=head) if head[0] in TRANSACTION_WORDS:
                raise ScriptError(f"it has a statement that no dump has: {head[0].decode()}")
            case Statement(text=text) if entry.kind == "EXTENSION":
                if found := EXTENSION_STATEMENT.search(text.decode(errors="replace")):
                    self._extensions.append(DumpedExtension(found["name"], found["schema"]))
            case Statement(text=text, head=head) if entry.kind == DATA and head[0] == b"INSERT":
                self._row_counts[entry.schema, entry.name] = None
                if entry.name == MIGRATIONS_TABLE:
                    self._migrations |= {name.decode() for name in INSERTED_NAME.findall(text)}

    def _count_rows(self, data: CopyData) -> None:
        is_record = data.entry.name == MIGRATIONS_TABLE
        rows = bytearray()
        count = 0
        for block in data.blocks:
            count += block.count(b"\n")
            if is_record:
                rows += block
        self._row_counts[data.entry.schema, data.entry.name] = count
        self._migrations |= set(_column(data.text, bytes(rows), "name"))

    def contents(
        self, path: Path, format_: Format, reader: ScriptReader, *, is_sealed: bool
    ) -> DumpContents:
        name = read_name(path.name)
        tables = [entry for entry in reader.entries if entry.kind == "TABLE"]
        return DumpContents(
            path=path,
            size_bytes=path.stat().st_size,
            format=format_,
            is_sealed=is_sealed,
            made_at=name.made_at if name else None,
            dumped_from=reader.dumped_from,
            dumped_by=reader.dumped_by,
            tables=tuple(self._table(entry, reader) for entry in tables),
            migrations=tuple(sorted(self._migrations)),
            extensions=tuple(self._extensions),
            entries=tuple(reader.entries),
        )

    def _table(self, entry: Entry, reader: ScriptReader) -> DumpedTable:
        key = (entry.schema, entry.name)
        has_data = Entry(entry.name, DATA, entry.schema) in reader.entries
        # An empty table has a COPY without rows, or no INSERT.
        row_count = self._row_counts.get(key, 0) if has_data else None
        return DumpedTable(*key, has_data, row_count)


def _column(copy_statement: bytes, rows: bytes, name: str) -> Iterator[str]:
    """The values of one column of a COPY, whose names and values hold nothing to unescape."""
    listed = re.search(rb"\(([^)]*)\)", copy_statement)
    names = [each.strip(' "') for each in listed[1].decode().split(",")] if listed else []
    if name in names:
        index = names.index(name)
        for row in rows.decode(errors="replace").splitlines():
            yield row.split("\t")[index]
