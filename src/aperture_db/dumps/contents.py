"""Reads a dump to its end and validates it."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from aperture_db.aperture.tables import MIGRATIONS_TABLE, is_aperture
from aperture_db.dumps import DumpFormat, Purpose, read_name
from aperture_db.dumps.checksum import ChecksumState, matches_checksum, read_checksum
from aperture_db.dumps.files import HEAD_BYTES, detect_format, open_dump, open_script
from aperture_db.dumps.refusals import broken, cluster_dump, not_understood, not_usable, too_large
from aperture_db.dumps.script import (
    ClusterDumpError,
    CopyData,
    CreatedTable,
    DumpEntry,
    DumpScriptError,
    DumpStatement,
    NotADumpError,
    Part,
    ScriptReader,
    TooLargeError,
    UnknownPartError,
    created_table,
    name_in_comments,
)
from aperture_db.dumps.statements import (
    LARGE_OBJECT_KINDS,
    SETTING,
    makes_native_function,
    read_setting,
    unexpected,
    without_values,
)
from aperture_db.progress import Event, Progress
from aperture_db.safe_files import HeldFile

COPY_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
CREATE_TABLE = ("TABLE", b"CREATE")


INSERTED_NAME = re.compile(rb"'([^']+\.sql)'")
DATA = "TABLE DATA"
MOST_RECORD_BYTES = 1 << 20
EXTENSION_STATEMENT = re.compile(
    r'CREATE EXTENSION IF NOT EXISTS ("?)(?P<name>[^"]+?)\1 WITH SCHEMA ("?)(?P<schema>[^"]+?)\3;'
)
SHOWN_CHARACTERS = 100
# Statements that would end the one transaction in which a dump is restored. pg_dump writes them
# around the contents of large objects only, which a restore leaves out.
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
    """False where the dump was made without the rows of this table."""
    row_count: int | None
    """None without rows, and for INSERT statements, whose rows only the server can count."""
    is_partitioned: bool = field(default=False, metadata={"json": False})
    """Its rows are those of its partitions."""
    columns: frozenset[str] = field(default=frozenset(), metadata={"json": False})
    constraints: frozenset[str] = field(default=frozenset(), metadata={"json": False})
    """Those within CREATE TABLE; others have entries of their own."""

    @property
    def key(self) -> tuple[str, str]:
        """Schema and name as in the entries of the dump."""
        return name_in_comments(self.schema), name_in_comments(self.name)

    def __str__(self) -> str:
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"


def count_rows(tables: Iterable[DumpedTable]) -> int | None:
    """The number of rows in the dump; None where it is unknown."""
    counts = [table.row_count for table in tables if table.has_data]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


@dataclass(frozen=True)
class DumpedExtension:
    name: str
    schema: str


@dataclass(frozen=True)
class DumpContents:
    """A dump that was read to its end and is undamaged."""

    path: Path
    size_bytes: int
    format: DumpFormat
    has_checksum: bool
    """It ends with the checksum of this tool, and the checksum is OK."""
    made_at: datetime | None
    """From its name."""
    dumped_from: str
    """Version of the server, `16.4 (Debian …)`."""
    dumped_by: str
    """Version of pg_dump."""
    tables: tuple[DumpedTable, ...]
    migrations: tuple[str, ...]
    """The names that aperture_migrations records, sorted."""
    extensions: tuple[DumpedExtension, ...]
    entries: tuple[DumpEntry, ...] = field(repr=False, metadata={"json": False})
    native_functions: frozenset[DumpEntry] = field(repr=False, metadata={"json": False})
    """Written in C or aliases of the server's own: never made from a dump."""
    settings: frozenset[tuple[str, str]] = field(repr=False, metadata={"json": False})
    """The settings that it makes, with their values, each once."""
    file: HeldFile = field(repr=False, compare=False, metadata={"json": False})
    """Stays open: its name may be another file's when the dump is restored."""
    file_state: tuple[int, int, int] = field(repr=False, compare=False, metadata={"json": False})
    """Of the file when it was read."""

    @property
    def checked_by(self) -> str | None:
        """Whose checksum of every byte was compared: this tool's or that of the program which
        compressed the dump."""
        if self.has_checksum:
            return "aperture-db"
        packer = self.format.packer
        return packer.program if packer and packer.always_has_checksum else None

    @property
    def row_count(self) -> int | None:
        return count_rows(self.tables)

    @property
    def last_migration(self) -> str | None:
        return self.migrations[-1] if self.migrations else None

    @property
    def aperture_schemas(self) -> frozenset[str]:
        """The schemas that hold Aperture's tables. One name is not enough: many other databases
        have a table `users`."""
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
    def is_safety_backup(self) -> bool:
        """This tool made it before it changed the database."""
        name = read_name(self.path.name)
        is_before = name is not None and name.purpose is not Purpose.BACKUP
        return self.has_checksum and is_before

    @property
    def is_empty(self) -> bool:
        """A dump of a database without a single table."""
        return not self.tables


@dataclass(frozen=True)
class ContentsRead:
    """The dump was read to its end without an error."""

    contents: DumpContents


def read_contents(path: Path) -> Iterator[Event | ContentsRead]:
    """Read a dump to its end; the last event is ContentsRead.

    Raises BrokenDumpError for a damaged or incomplete file, UsageError for a file that is not a
    dump, ClientProgramError without a pg_restore that can read it.
    """
    with open_dump(path) as file:
        yield from read_open_dump(file)


def read_open_dump(file: HeldFile) -> Iterator[Event | ContentsRead]:
    """The same for a file that is open already."""
    path = file.path
    format_ = detect_format(file)
    survey = _Survey(file.state)
    # Compressed again, ours may stand in the file as it is; the packer's own takes its place.
    has_checksum = format_.packer is None and (yield from _check_checksum(file))
    try:
        with open_script(file, format_) as read:
            reader = ScriptReader(read)
            for part in reader.parts():
                yield from survey.take(part)
    except ClusterDumpError as error:
        raise cluster_dump(path, format_.packer) from error
    except TooLargeError as error:
        raise too_large(path, str(error)) from error
    except NotADumpError as error:
        raise not_usable(path, str(error)) from error
    except UnknownPartError as error:
        raise not_understood(file, format_, str(error), error.line_number) from error
    except DumpScriptError as error:
        raise broken(path, str(error)) from error
    yield ContentsRead(survey.contents(file, format_, reader, has_checksum=has_checksum))


def _check_checksum(file: HeldFile) -> Generator[Event, None, bool]:
    """Returns whether the dump has a checksum; raises BrokenDumpError for a wrong one."""
    state, digest = read_checksum(file)
    if state is ChecksumState.NONE:
        return False
    yield Progress("verifying the checksum", 0, None)
    if state is ChecksumState.BROKEN or not matches_checksum(file, digest):
        raise broken(file.path, "its content does not match its checksum")
    return True


def _require_expected(part: Part) -> None:
    """Raise UnknownPartError for a statement that no entry of its kind has."""
    head = part.head if isinstance(part, DumpStatement) else (b"COPY",)
    reason = None
    if head[0] in TRANSACTION_WORDS and part.entry.kind not in LARGE_OBJECT_KINDS:
        reason = "a statement that pg_dump never writes"
    if reason := reason or unexpected(part.entry, part.text, head):
        text = without_values(part.text.decode(errors="replace"))
        shown = " ".join(text.split())[:SHOWN_CHARACTERS]
        raise UnknownPartError(f"line {part.line_number} is {reason}: {shown}", part.line_number)


class _Survey:
    """Collects the contents from the parts of a script."""

    def __init__(self, file_state: tuple[int, int, int]) -> None:
        self._file_state = file_state
        self._row_counts: dict[tuple[str, str], int | None] = {}
        self._extensions: list[DumpedExtension] = []
        self._migrations: set[str] = set()
        self._created: dict[DumpEntry, CreatedTable | None] = {}
        self._native_functions: set[DumpEntry] = set()
        self._settings: set[tuple[str, str]] = set()

    def take(self, part: Part) -> Iterator[Event]:
        entry = part.entry
        _require_expected(part)
        match part:
            case CopyData():
                yield Progress(f"reading {entry.name}", len(self._row_counts), None)
                self._count_rows(part)
            case DumpStatement(text=text, head=head) if (entry.kind, head[0]) == CREATE_TABLE:
                self._created[entry] = created_table(text)
            case DumpStatement(text=text, head=head) if makes_native_function(entry, text, head):
                self._native_functions.add(entry)
            case DumpStatement(text=text, head=(b"SET", *_)):
                if match := SETTING.fullmatch(text.strip()):
                    self._settings.add(read_setting(match))
            case DumpStatement(text=text) if entry.kind == "EXTENSION":
                if found := EXTENSION_STATEMENT.search(text[:HEAD_BYTES].decode(errors="replace")):
                    self._extensions.append(DumpedExtension(found["name"], found["schema"]))
            case DumpStatement(text=text, head=head) if entry.kind == DATA and head[0] == b"INSERT":
                self._row_counts[entry.schema, entry.name] = None
                if entry.name == MIGRATIONS_TABLE:
                    names = INSERTED_NAME.findall(text)
                    self._migrations |= {name.decode(errors="surrogateescape") for name in names}

    def _count_rows(self, data: CopyData) -> None:
        is_record = data.entry.name == MIGRATIONS_TABLE
        rows = bytearray()
        count = 0
        for block in data.blocks:
            count += block.count(b"\n")
            if is_record:
                rows += block
                if len(rows) > MOST_RECORD_BYTES:
                    raise TooLargeError("it records more migrations than any Aperture has")
        self._row_counts[data.entry.schema, data.entry.name] = count
        self._migrations |= set(_column(data.text, bytes(rows), "name"))

    def contents(
        self, file: HeldFile, format_: DumpFormat, reader: ScriptReader, *, has_checksum: bool
    ) -> DumpContents:
        name = read_name(file.path.name)
        tables = [entry for entry in reader.entries if entry.kind == "TABLE"]
        return DumpContents(
            path=file.path,
            size_bytes=file.size_bytes,
            format=format_,
            has_checksum=has_checksum,
            made_at=name.made_at if name else None,
            dumped_from=reader.dumped_from,
            dumped_by=reader.dumped_by,
            tables=tuple(self._table(entry, reader) for entry in tables),
            migrations=tuple(sorted(self._migrations)),
            extensions=tuple(self._extensions),
            entries=tuple(reader.entries),
            native_functions=frozenset(self._native_functions),
            settings=frozenset(self._settings),
            file=file.kept(),
            file_state=self._file_state,
        )

    def _table(self, entry: DumpEntry, reader: ScriptReader) -> DumpedTable:
        key = (entry.schema, entry.name)
        has_data = DumpEntry(entry.name, DATA, entry.schema) in reader.entries
        # An empty table has a COPY without rows, or no INSERT.
        row_count = self._row_counts.get(key, 0) if has_data else None
        made = self._created.get(entry) or CreatedTable(*key, False, frozenset(), frozenset())
        return DumpedTable(made.schema, made.name, has_data, row_count, *made[2:])


def _column(copy_statement: bytes, rows: bytes, name: str) -> Iterator[str]:
    """The values of one column of a COPY whose names hold nothing to unescape."""
    listed = re.search(rb"\(([^)]*)\)", copy_statement)
    columns = listed[1].decode(errors="surrogateescape") if listed else ""
    names = [each.strip(' "') for each in columns.split(",")]
    if name in names and rows:
        for row in rows.decode(errors="surrogateescape").removesuffix("\n").split("\n"):
            values = row.split("\t")
            if len(values) != len(names):
                raise DumpScriptError("a row of aperture_migrations does not have its columns")
            value = values[names.index(name)]
            yield re.sub(r"\\(.)", lambda match: COPY_ESCAPES.get(match[1], match[1]), value)


def require_restorable(contents: DumpContents) -> None:
    """Raise UsageError for a part of a dump, or for a dump of another application.

    A dump of a database without tables, or with those of others, is accepted where it is a safety
    backup with our checksum: it undoes the first restore into that database.
    """
    if reason := _unrestorable_reason(contents):
        raise not_usable(contents.path, reason)


def _unrestorable_reason(contents: DumpContents) -> str | None:
    has_rows = any(entry.kind == "TABLE DATA" for entry in contents.entries)
    if not contents.tables:
        if has_rows:
            return "it contains rows but no tables (pg_dump --data-only)"
        return None if contents.has_checksum else "it contains no tables"
    if contents.is_safety_backup:
        return None
    if not has_rows:
        return "it contains tables but no rows (pg_dump --schema-only)"
    if not contents.aperture_schemas:
        return "its tables are not Aperture's"
    return None
