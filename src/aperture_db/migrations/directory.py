"""The migration files: where they are, what is in them."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path

from aperture_db.errors import UsageError
from aperture_db.postgres.sql_scanner import SqlStatement, head_comments, split_statements

DIRECTORY_VARIABLE = "APERTURE_MIGRATIONS_DIR"
NUMBER_DIGITS = 4
NAME_PATTERN = re.compile(rf"\d{{{NUMBER_DIGITS}}}_[a-z0-9_]+\.sql")
SETTING = re.compile(rb"\bset(?:\s|_config\b)", re.IGNORECASE)
DIRECTIVE_PREFIX = "aperture-db:"
NO_TRANSACTION = "no-transaction"


@dataclass(frozen=True)
class MigrationFile:
    """One file of a migration directory. `name` is what `aperture_migrations` records."""

    name: str
    content: bytes = field(repr=False)

    @cached_property
    def text(self) -> str:
        """The SQL as sent to the server; a byte order mark is not part of it. Bytes that are
        not UTF-8 become replacement characters: `checks` refuses such a file before."""
        return self.content.decode("utf-8-sig", errors="replace")

    @cached_property
    def statements(self) -> tuple[SqlStatement, ...]:
        return split_statements(self.text)

    @cached_property
    def directives(self) -> tuple[str, ...]:
        """What the head's `-- aperture-db: …` comments ask for."""
        return tuple(
            comment.removeprefix(DIRECTIVE_PREFIX).strip()
            for comment in head_comments(self.text)
            if comment.startswith(DIRECTIVE_PREFIX)
        )

    @cached_property
    def changes_session(self) -> bool:
        """Whether a setting that it makes would last beyond its transaction."""
        # Looking into every file's statements costs more than applying a small one.
        return SETTING.search(self.content) is not None and any(
            map(changes_session, self.statements)
        )

    @cached_property
    def created_extensions(self) -> frozenset[str]:
        """The extensions that it creates, in lower case."""
        if b"EXTENSION" not in self.content.upper():
            return frozenset()
        return frozenset(
            word.lower()
            for statement in self.statements
            if statement.starts_with("CREATE", "EXTENSION")
            for word in statement.words[2:]
        )

    @property
    def in_transaction(self) -> bool:
        return NO_TRANSACTION not in self.directives


@dataclass(frozen=True)
class MigrationDirectory:
    """A set of files in the order in which they apply: plain ascending order of names."""

    path: Path
    files: tuple[MigrationFile, ...]
    is_bundled: bool
    """Whether these are the files that this program carries, which are tested as they are."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(file.name for file in self.files)

    def resolve_name(self, wanted: str) -> str:
        """The full name for a name or its number: `42` or `0042_x.sql`. Raises UsageError."""
        number = wanted.zfill(NUMBER_DIGITS) if wanted.isdecimal() else None
        matches = [
            name
            for name in self.names
            if wanted in (name, name.removesuffix(".sql")) or number == name.partition("_")[0]
        ]
        if len(matches) == 1:
            return matches[0]
        close = matches or difflib.get_close_matches(wanted, self.names, n=3)
        raise UsageError(
            f"{wanted or 'an empty name'} does not name one migration file",
            why=f"{len(matches) or 'no'} files in {self.path} have that name or number",
            next_step=f"use a full name, such as {' or '.join(close or self.names[-1:])}",
            code="unknown_migration",
        )


def changes_session(statement: SqlStatement) -> bool:
    """Whether it is a SET, or a call of set_config as pg_dump writes it, whose effect lasts
    beyond the transaction."""
    if "SET_CONFIG" in statement.words:
        return "TRUE" not in statement.words
    lasting = statement.words[1:2] not in (("LOCAL",), ("TRANSACTION",), ("CONSTRAINTS",))
    return statement.starts_with("SET") and lasting


def bundled_directory() -> Path:
    """The files that the program carries: inside the package, or beside `src` in a checkout."""
    packaged = Path(str(resources.files("aperture_db"))) / "bundled_migrations"
    if packaged.is_dir():
        return packaged
    return Path(__file__).parents[3] / "migrations"


def read_directory(
    option: Path | None = None, environ: Mapping[str, str] = os.environ
) -> MigrationDirectory:
    """Read the files of `option`, else of APERTURE_MIGRATIONS_DIR, else the bundled ones."""
    variable = environ.get(DIRECTORY_VARIABLE)
    path = option or (Path(variable) if variable else bundled_directory())
    named_by = "--dir" if option else DIRECTORY_VARIABLE
    try:
        entries = sorted(path.iterdir(), key=lambda entry: entry.name)
        files = tuple(
            MigrationFile(entry.name, entry.read_bytes())
            for entry in entries
            # A link that leads nowhere is a migration that is missing, not one that isn't meant.
            if entry.suffix.lower() == ".sql" and (entry.is_file() or entry.is_symlink())
        )
    except OSError as error:
        raise _unusable(path, f"{error.filename}: {error.strerror}", named_by) from error
    if not files:
        raise _unusable(path, "it holds no .sql files", named_by)
    return MigrationDirectory(path, files, is_bundled=path == bundled_directory())


def _unusable(path: Path, why: str, named_by: str) -> UsageError:
    return UsageError(
        f"the migration directory {path} can't be used",
        why=why,
        next_step=f"correct {named_by}, or leave it out to use the bundled migrations",
        code="bad_directory",
    )
