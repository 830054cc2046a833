"""Which parts of a dump are run, and in what words."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from aperture_db.dumps.contents import DumpContents
from aperture_db.dumps.script import CopyData, Entry, Part, Statement

# Settings that the restore decides about itself, or that older servers don't know.
SKIPPED_SETTINGS = {
    b"statement_timeout", b"lock_timeout", b"idle_in_transaction_session_timeout",
    b"transaction_timeout",
}  # fmt: skip
SETTING = re.compile(rb"SET (?P<name>\w+) (?:=|TO) ", re.IGNORECASE)
SESSION_SETTING = re.compile(
    rb"(SELECT pg_catalog\.set_config\('\w+', (?:'[^']*'), )false\)", re.IGNORECASE
)
OWNER_CHANGE = re.compile(rb"ALTER [^;]* OWNER TO [^;]*;\s*", re.IGNORECASE)
# Rights stay as the database has them; statistics are made anew; the rest is not Aperture's.
SKIPPED_KINDS = {
    "ACL", "DEFAULT ACL", "SECURITY LABEL", "STATISTICS DATA", "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
}  # fmt: skip
# Left out without a word: extensions are seen to separately, and the rest belongs to them, to
# the schema public, or to the database as a whole.
SILENT_KINDS = {
    "EXTENSION", "COMMENT", "SCHEMA", "DATABASE", "DATABASE PROPERTIES", "ENCODING",
    "STDSTRINGS", "SEARCHPATH",
}  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """What of a dump goes into the database."""

    left_out_schemas: frozenset[str]
    created_tables: frozenset[tuple[str, str]]

    def takes(self, entry: Entry) -> bool:
        """Whether the statements of this entry are run."""
        if not entry.schema or entry.schema in self.left_out_schemas:
            return False
        if entry.kind in SKIPPED_KINDS:
            return False
        # The settings of an extension are dumped as rows of a table that the dump does not make.
        is_data = entry.kind == "TABLE DATA"
        return not is_data or (entry.schema, entry.name) in self.created_tables

    def translate(self, part: Part) -> bytes | None:
        """The statement as it is run inside our transaction; None for one that is not."""
        if isinstance(part, CopyData):
            return part.text if self.takes(part.entry) else None
        if (setting := _translate_setting(part)) is not None:
            return setting or None
        if not self.takes(part.entry) or part.head[0] in (b"DROP", b"GRANT", b"REVOKE"):
            return None
        return None if OWNER_CHANGE.fullmatch(part.text) else part.text


def _translate_setting(statement: Statement) -> bytes | None:
    """A setting made for the transaction only, empty for one to leave out; None for any other
    statement. A plain SET would outlast the transaction and reach others through a pooler."""
    if statement.head[0] == b"SET":
        match = SETTING.match(statement.text)
        if not match or match["name"].lower() in SKIPPED_SETTINGS:
            return b""
        return b"SET LOCAL " + statement.text[len(b"SET ") :]
    if SESSION_SETTING.match(statement.text):
        return SESSION_SETTING.sub(rb"\1true)", statement.text)
    return None


def make_selection(contents: DumpContents, left_out_schemas: tuple[str, ...]) -> Selection:
    """The selection for one dump."""
    return Selection(
        frozenset(left_out_schemas),
        frozenset((table.schema, table.name) for table in contents.tables),
    )


def describe_left_out(contents: DumpContents, left_out_schemas: tuple[str, ...]) -> tuple[str, ...]:
    """What the dump has and the restore leaves out, in words for the user."""
    kinds = Counter(
        entry.kind
        for entry in contents.entries
        if not entry.schema and entry.kind not in SILENT_KINDS | SKIPPED_KINDS
    )
    schemas = tuple(f"schema {name}" for name in left_out_schemas)
    return schemas + tuple(f"{kind.lower()} ({count})" for kind, count in sorted(kinds.items()))
