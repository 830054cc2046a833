"""Runs the statements of a dump that a restore needs, and counts the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql as identifiers
from psycopg.rows import TupleRow

from aperture_db import sql
from aperture_db.dumps.contents import DumpContents
from aperture_db.dumps.files import open_script
from aperture_db.dumps.refusals import broken
from aperture_db.dumps.script import (
    CopyData,
    DumpEntry,
    DumpScriptError,
    Part,
    ScriptReader,
)
from aperture_db.dumps.statements import without_values
from aperture_db.errors import ApertureDbError
from aperture_db.format import list_some
from aperture_db.postgres.connection import build_index
from aperture_db.postgres.session import Connection
from aperture_db.progress import Event, Progress, Warned
from aperture_db.restore.filter import StatementFilter

PROGRESS_EVERY_BYTES = 16 << 20
SHOWN_CHARACTERS = 200
# Kinds of entries whose statements call functions, and the errors of one that finds nothing.
CALLING_KINDS = {
    "CHECK CONSTRAINT", "CONSTRAINT", "INDEX", "MATERIALIZED VIEW", "MATERIALIZED VIEW DATA",
    "TABLE DATA",
}  # fmt: skip
UNDEFINED = (
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedObject,
    psycopg.errors.UndefinedTable,
)
# What a schema holds beside tables, views, sequences, functions and types. The plan replaces none
# of these: one that is there is kept.
KEPT_KINDS = {
    "COLLATION", "CONVERSION", "FUNCTION", "OPERATOR", "OPERATOR CLASS", "OPERATOR FAMILY",
    "PROCEDURE", "SHELL TYPE", "TEXT SEARCH CONFIGURATION", "TEXT SEARCH DICTIONARY",
    "TEXT SEARCH PARSER", "TEXT SEARCH TEMPLATE", "TYPE",
}  # fmt: skip
DUPLICATES = (
    psycopg.errors.DuplicateObject,
    psycopg.errors.DuplicateFunction,
    # Of an index of the catalogs: nobody looks for text search objects before they are made.
    psycopg.errors.UniqueViolation,
)
ENCODING_ERRORS = (
    psycopg.errors.CharacterNotInRepertoire,
    psycopg.errors.UntranslatableCharacter,
)


def execute_one(conn: Connection, statement: bytes) -> psycopg.Cursor[TupleRow]:
    """Execute through the extended protocol, a message of which cannot hold a second statement.

    Without parameters, psycopg uses it for binary results only.
    """
    return conn.cursor().execute(statement, binary=True)


class DumpRunner:
    """Runs a dump in the open transaction of a connection, one statement at a time."""

    def __init__(
        self, conn: Connection, contents: DumpContents, statements: StatementFilter
    ) -> None:
        self._conn = conn
        self._contents = contents
        self._filter = statements
        self._entry: DumpEntry | None = None
        self._entries_done = 0
        self._called_by: DumpEntry | None = None
        self._kept: DumpEntry | None = None
        self._altered: list[identifiers.SQL] = []
        self.row_counts: Counter[tuple[str, str]] = Counter()
        """Rows inserted into each table, by schema and name."""

    def run(self) -> Iterator[Event]:
        """Run the dump. Damage of the file may show at its end only: commit after this returns
        without an error."""
        self._require_unchanged()
        try:
            with open_script(self._contents.file, self._contents.format) as read:
                for part in ScriptReader(read, keeps_statements=True).parts():
                    yield from self._report_entry(part.entry)
                    yield from self._run_part(part)
            self._reset_paths()
        except DumpScriptError as error:
            self._require_unchanged()
            raise broken(self._contents.path, str(error)) from error
        self._require_unchanged()

    def _require_unchanged(self) -> None:
        """Raise ApertureDbError when somebody has touched the file since it was verified."""
        if self._contents.file.state != self._contents.file_state:
            raise ApertureDbError(
                f"{self._contents.path} was changed after it was verified",
                why="another program wrote to the file, replaced or deleted it; everything was "
                "rolled back, the database is unchanged",
                next_step="restore a copy that no other program can change",
                code="dump_changed",
            )

    def _report_entry(self, entry: DumpEntry) -> Iterator[Event]:
        if entry == self._entry:
            return
        self._entry = entry
        self._entries_done += 1
        yield Progress(_describe(entry), self._entries_done, len(self._contents.entries))

    def _run_part(self, part: Part) -> Iterator[Event]:
        text = self._filter.translate(part)
        if text is None:
            return
        with self._explained(part.entry, text):
            if part.entry.kind in KEPT_KINDS:
                yield from self._create_unless_kept(part.entry, text)
                return
            if part.entry.kind == "FOREIGN TABLE":
                yield from self._try(part, text)
                return
            if not self._may_call(part):
                yield from self._execute(part, text)
                return
            try:
                with self._conn.transaction():
                    yield from self._execute(part, text)
            except UNDEFINED:
                if not self._set_paths():
                    raise
                yield Warned(
                    f"{_describe(part.entry)} calls a function that names objects without their "
                    "schema: it was restored with the database's search_path"
                )
                with self._read_again(part) as again:
                    yield from self._execute(again, text)

    def _create_unless_kept(self, entry: DumpEntry, text: bytes) -> Iterator[Event]:
        """Create an object that the plan does not replace, unless the database has it. The other
        statements of its entry are about it."""
        if entry == self._kept:
            return
        try:
            with self._conn.transaction():
                execute_one(self._conn, text)
        except DUPLICATES:
            self._kept = entry
            yield Warned(f"{_describe(entry)} is kept as the database has it")

    def _try(self, part: Part, text: bytes) -> Iterator[Event]:
        """A foreign table has no rows here, and its server is no part of a restore."""
        try:
            with self._conn.transaction():
                yield from self._execute(part, text)
        except UNDEFINED as error:
            yield Warned(f"{_describe(part.entry)} is left out: {error.diag.message_primary}")

    def _execute(self, part: Part, text: bytes) -> Iterator[Event]:
        if isinstance(part, CopyData):
            yield from self._copy(part, text)
        elif part.entry.kind == "INDEX":
            self._create_index(text)
        else:
            cursor = execute_one(self._conn, text)
            if part.entry.kind == "TABLE DATA":
                self._count(part.entry, cursor.rowcount)

    def _may_call(self, part: Part) -> bool:
        """Tell whether the statement may call functions of the dump that still lack a path. Of
        the INSERT statements of a table, the first one shows it."""
        is_first = part.entry != self._called_by
        self._called_by = part.entry
        return not self._altered and is_first and part.entry.kind in CALLING_KINDS

    def _set_paths(self) -> bool:
        """Give a search_path to the functions that have none, as long as the dump runs.

        A dump empties the search_path, and the server does so for an index or a materialized
        view (17 and newer). False where there are none, or no schemas.
        """
        extensions = (extension.schema for extension in self._contents.extensions)
        own = (table.schema for table in self._contents.tables)
        schemas = dict.fromkeys((*self._conn.original_path.schemas, *own, *extensions))
        functions = self._conn.execute(sql.load("restore/functions_without_path"), {})
        self._altered = [identifiers.SQL(row[0]) for row in functions]
        path = identifiers.SQL(", ").join(map(identifiers.Identifier, schemas))
        for function in self._altered:
            statement = identifiers.SQL("ALTER FUNCTION {} SET search_path = {}")
            self._conn.execute(statement.format(function, path))
        return bool(self._altered)

    def _reset_paths(self) -> None:
        for function in self._altered:
            statement = identifiers.SQL("ALTER FUNCTION {} RESET search_path")
            self._conn.execute(statement.format(function))

    @contextmanager
    def _read_again(self, part: Part) -> Iterator[Part]:
        """The same part; its rows come from the file once more."""
        if not isinstance(part, CopyData):
            yield part
            return
        with (
            self._contents.file.another() as file,
            open_script(file, self._contents.format) as read,
        ):
            for again in ScriptReader(read).parts():
                if isinstance(again, CopyData) and again.line_number == part.line_number:
                    yield again
                    for _ in again.blocks:
                        continue

    def _copy(self, data: CopyData, text: bytes) -> Iterator[Event]:
        size_bytes = reported_bytes = 0
        with self._conn.cursor() as cursor:
            with cursor.copy(text) as copy:
                for block in data.blocks:
                    copy.write(block)
                    size_bytes += len(block)
                    if size_bytes - reported_bytes > PROGRESS_EVERY_BYTES:
                        reported_bytes = size_bytes
                        shown = f"{_describe(data.entry)}, {size_bytes >> 20} MB"
                        yield Progress(shown, self._entries_done, len(self._contents.entries))
            self._count(data.entry, cursor.rowcount)

    def _count(self, entry: DumpEntry, row_count: int) -> None:
        self.row_counts[entry.schema, entry.name] += max(0, row_count)

    def _create_index(self, text: bytes) -> None:
        """Build an index with the memory that it needs."""
        build_index(self._conn, text, execute_one)

    @contextmanager
    def _explained(self, entry: DumpEntry, text: bytes) -> Iterator[None]:
        """Turn an error of the server into one that names the object of the dump."""
        try:
            yield
        except psycopg.errors.Error as error:
            if error.sqlstate is None or error.sqlstate[:2] in ("53", "57", "40"):
                raise
            raise self._refused(entry, text, error) from error

    def _refused(self, entry: DumpEntry, text: bytes, error: psycopg.Error) -> ApertureDbError:
        statement = without_values(text.decode(errors="replace"))
        statement = statement.strip().splitlines()[0][:SHOWN_CHARACTERS]
        diagnostics = error.diag
        details = [f"statement: {statement}"]
        details += [line for line in (diagnostics.message_detail, diagnostics.message_hint) if line]
        reason = diagnostics.message_primary
        if isinstance(error, psycopg.errors.SyntaxError):
            # The server quotes what it does not understand, which may be a value.
            reason = "syntax error"
        return ApertureDbError(
            f"the dump could not be restored: {_describe(entry)} failed",
            why=f"{reason} (SQLSTATE {error.sqlstate}); "
            "everything was rolled back, the database is unchanged",
            next_step=self._advice(error),
            code="restore_failed",
            details=tuple(details),
        )

    def _advice(self, error: psycopg.Error) -> str:
        dumped_major = self._contents.server_major
        server_major = self._conn.info.server_version // 10_000
        if dumped_major and dumped_major > server_major:
            return (
                f"restore into PostgreSQL {dumped_major} or newer: the dump comes from "
                f"{dumped_major} and this server is {server_major}"
            )
        native = sorted(entry.name for entry in self._contents.native_functions)
        if isinstance(error, psycopg.errors.UndefinedFunction) and native:
            return (
                f"create {list_some(native)} first, as the database that was dumped has it: a "
                "function in C is never made from a dump"
            )
        if isinstance(error, psycopg.errors.UndefinedObject) and not self._contents.extensions:
            return (
                "create the extensions, which the dump does not contain (pg_dump -n), with "
                "aperture-db check-extensions --create, then run again"
            )
        if isinstance(error, ENCODING_ERRORS):
            return (
                "correct these rows in the database that was dumped, and back it up again; "
                "or restore into a database with the encoding of that one"
            )
        return "choose another dump: aperture-db backup --list"


def _describe(entry: DumpEntry) -> str:
    if entry.kind == "TABLE DATA":
        return f"rows of {entry.name}"
    return f"{entry.kind.lower()} {entry.name}".strip() or "settings"
