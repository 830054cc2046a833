"""Runs the selected statements of a dump and counts the rows that go in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from aperture_db.dumps.contents import DumpContents
from aperture_db.dumps.failures import broken
from aperture_db.dumps.files import open_script
from aperture_db.dumps.script import CopyData, Entry, Part, ScriptError, ScriptReader
from aperture_db.errors import ApertureDbError
from aperture_db.postgres.connection import Connection
from aperture_db.progress import Event, Progress
from aperture_db.restore.selection import Selection

TELL_EVERY_BYTES = 16 << 20
SHOWN_CHARACTERS = 200


class DumpRunner:
    """One pass of a dump into the open transaction of a connection."""

    def __init__(self, conn: Connection, contents: DumpContents, selection: Selection) -> None:
        self._conn = conn
        self._contents = contents
        self._selection = selection
        self._entry: Entry | None = None
        self._entries_done = 0
        self.row_counts: Counter[tuple[str, str]] = Counter()
        """Rows that went into each table, by schema and name."""

    def run(self) -> Iterator[Event]:
        """Run everything. The caller commits, and only after this has ended without an error:
        that a file is damaged may show at its very end."""
        path = self._contents.path
        try:
            with open_script(path, self._contents.format) as read:
                for part in ScriptReader(read).parts():
                    yield from self._tell_entry(part.entry)
                    yield from self._run_part(part)
        except ScriptError as error:
            raise broken(path, str(error)) from error

    def _tell_entry(self, entry: Entry) -> Iterator[Event]:
        if entry == self._entry:
            return
        self._entry = entry
        self._entries_done += 1
        yield Progress(_describe(entry), self._entries_done, len(self._contents.entries))

    def _run_part(self, part: Part) -> Iterator[Event]:
        text = self._selection.translate(part)
        if text is None:
            return
        with self._explained(part.entry, text):
            if isinstance(part, CopyData):
                yield from self._copy(part, text)
            elif part.entry.kind == "INDEX":
                self._create_index(text)
            else:
                cursor = self._conn.execute(text)
                if part.entry.kind == "TABLE DATA":
                    self._count(part.entry, cursor.rowcount)

    def _copy(self, data: CopyData, text: bytes) -> Iterator[Event]:
        size_bytes = told_bytes = 0
        with self._conn.cursor() as cursor:
            with cursor.copy(text) as copy:
                for block in data.blocks:
                    copy.write(block)
                    size_bytes += len(block)
                    if size_bytes - told_bytes > TELL_EVERY_BYTES:
                        told_bytes = size_bytes
                        shown = f"{_describe(data.entry)}, {size_bytes >> 20} MB"
                        yield Progress(shown, self._entries_done, len(self._contents.entries))
            self._count(data.entry, cursor.rowcount)

    def _count(self, entry: Entry, row_count: int) -> None:
        self.row_counts[entry.schema, entry.name] += max(0, row_count)

    def _create_index(self, text: bytes) -> None:
        """Build an index; where the server's shared memory is too small for doing so in parallel
        (Docker gives it 64 MB), build it alone."""
        try:
            with self._conn.transaction():
                self._conn.execute(text)
        except psycopg.errors.DiskFull as error:
            if "shared memory" not in str(error):
                raise
            self._conn.execute("SET LOCAL max_parallel_maintenance_workers = 0")
            self._conn.execute(text)

    @contextmanager
    def _explained(self, entry: Entry, text: bytes) -> Iterator[None]:
        """Say which object of the dump the server refused, and that nothing is lost."""
        try:
            yield
        except psycopg.errors.Error as error:
            if error.sqlstate is None or error.sqlstate[:2] in ("53", "57", "40"):
                raise
            raise self._refused(entry, text, error) from error

    def _refused(self, entry: Entry, text: bytes, error: psycopg.Error) -> ApertureDbError:
        statement = text.decode(errors="replace").strip().splitlines()[0][:SHOWN_CHARACTERS]
        diagnostics = error.diag
        details = [f"statement: {statement}"]
        details += [line for line in (diagnostics.message_detail, diagnostics.message_hint) if line]
        return ApertureDbError(
            f"the dump could not be restored: {_describe(entry)} failed",
            why=f"{diagnostics.message_primary} (SQLSTATE {error.sqlstate}); "
            "everything was rolled back, the database is as it was",
            next_step=self._advice(error),
            code="restore_failed",
            details=tuple(details),
        )

    def _advice(self, error: psycopg.Error) -> str:
        dumped_major = self._contents.server_major
        server_major = self._conn.info.server_version // 10_000
        if dumped_major and dumped_major > server_major:
            return (
                f"the dump comes from PostgreSQL {dumped_major} and this server is {server_major}: "
                f"restore into PostgreSQL {dumped_major} or newer"
            )
        if isinstance(error, psycopg.errors.UndefinedObject) and not self._contents.extensions:
            return (
                "the dump brings no extensions along (pg_dump -n): aperture-db check-extensions "
                "--create, then run again"
            )
        return "choose another dump: aperture-db backup --list"


def _describe(entry: Entry) -> str:
    if entry.kind == "TABLE DATA":
        return f"rows of {entry.name}"
    return f"{entry.kind.lower()} {entry.name}".strip() or "settings"
