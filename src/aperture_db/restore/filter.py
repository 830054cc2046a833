"""Selects the statements of a dump that a restore runs, and rewrites its settings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from aperture_db.dumps.contents import DumpContents
from aperture_db.dumps.script import CopyData, DumpEntry, DumpStatement, Part
from aperture_db.dumps.statements import (
    LARGE_OBJECT_KINDS,
    LEFT_OUT_HEADS,
    SESSION_SETTING,
    SETTING,
    SKIPPED_SETTINGS,
    is_owner_change,
    is_unchecked,
    makes_native_function,
    read_setting,
)

# Privileges are kept as the database has them; statistics are gathered anew; the rest is not
# Aperture's.
SKIPPED_KINDS = {
    "ACL", "DEFAULT ACL", "SECURITY LABEL", "STATISTICS DATA", "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
}  # fmt: skip
# Not reported as left out: extensions are created separately, and the rest belongs to them, to
# the schema public, or to the database as a whole.
SILENT_KINDS = {
    "EXTENSION", "COMMENT", "SCHEMA", "DATABASE", "DATABASE PROPERTIES", "ENCODING",
    "STDSTRINGS", "SEARCHPATH",
}  # fmt: skip
# COPY in the encoding SQL_ASCII puts bytes that are no text even into a UTF8 database.
SERVER_ENCODING = (
    b"SELECT pg_catalog.set_config("
    b"'client_encoding', pg_catalog.current_setting('server_encoding'), true);"
)
# In place of a tablespace or an access method that the server does not have.
DEFAULTS = {
    "default_tablespace": b"SET LOCAL default_tablespace = '';",
    "default_table_access_method": b"SET LOCAL default_table_access_method = heap;",
}


@dataclass(frozen=True)
class StatementFilter:
    """Selects and rewrites the statements of a dump that are run."""

    left_out_schemas: frozenset[str]
    created_tables: frozenset[tuple[str, str]]
    unavailable: frozenset[tuple[str, str]]
    """Settings of the dump, with their values, that name a tablespace or access method which the
    server does not have."""

    def takes(self, entry: DumpEntry) -> bool:
        """Tell whether the statements of this entry are run."""
        if not entry.schema or entry.schema in self.left_out_schemas:
            return False
        if entry.kind in SKIPPED_KINDS:
            return False
        # The settings of an extension are dumped as rows of a table that is not in the dump.
        is_data = entry.kind == "TABLE DATA"
        return not is_data or (entry.schema, entry.name) in self.created_tables

    def translate(self, part: Part) -> bytes | None:
        """The statement as it is run in our transaction; None for one that is not run."""
        if isinstance(part, CopyData):
            return part.text if self.takes(part.entry) else None
        if (setting := self._translate_setting(part)) is not None:
            return setting or None
        if not self.takes(part.entry) or part.head[0] in LEFT_OUT_HEADS:
            return None
        if makes_native_function(part.entry, part.text, part.head):
            return None
        return None if is_owner_change(part.text) else part.text

    def _translate_setting(self, statement: DumpStatement) -> bytes | None:
        """A setting, made for the transaction only; empty for one that is left out, None for any
        other statement. A plain SET would outlast the transaction, and reach others in a pooler."""
        text = statement.text.strip()
        if statement.head[0] == b"SET":
            # A change of the role is left out: the owner of all objects is decided by the plan.
            match = SETTING.fullmatch(text)
            if not match or match["name"].lower() in SKIPPED_SETTINGS:
                return b""
            name, value = read_setting(match)
            if name == "client_encoding" and is_unchecked(match["value"]):
                return SERVER_ENCODING
            if (name, value) in self.unavailable:
                return DEFAULTS[name]
            return b"SET LOCAL " + text[len(b"SET ") :]
        if SESSION_SETTING.fullmatch(text):
            return SESSION_SETTING.sub(rb"\1true);", text)
        return None


def make_filter(
    contents: DumpContents,
    left_out_schemas: tuple[str, ...],
    unavailable: frozenset[tuple[str, str]] = frozenset(),
) -> StatementFilter:
    """The filter for one dump."""
    return StatementFilter(
        frozenset(left_out_schemas),
        frozenset(table.key for table in contents.tables),
        unavailable,
    )


def describe_left_out(contents: DumpContents, left_out_schemas: tuple[str, ...]) -> tuple[str, ...]:
    """Parts of the dump that are not restored, in words for the user."""
    kinds = Counter(
        entry.kind
        for entry in contents.entries
        if not entry.schema and entry.kind not in SILENT_KINDS | SKIPPED_KINDS | LARGE_OBJECT_KINDS
    )
    schemas = tuple(f"schema {name}" for name in left_out_schemas)
    others = tuple(f"{kind.lower()} ({count})" for kind, count in sorted(kinds.items()))
    has_large_objects = any(entry.kind in LARGE_OBJECT_KINDS for entry in contents.entries)
    return schemas + others + (("large objects",) if has_large_objects else ())
