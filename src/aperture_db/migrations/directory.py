"""The migration files: where they are, what is in them, and what is wrong with them.

That is found before any of them is applied.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path

import psycopg

from aperture_db.errors import UsageError
from aperture_db.postgres.session import Connection
from aperture_db.postgres.sql_scanner import (
    SqlStatement,
    TokenKind,
    head_comments,
    line_and_column,
    split_statements,
)
from aperture_db.safe_files import read_input

DIRECTORY_VARIABLE = "APERTURE_MIGRATIONS_DIR"
MOST_FILE_BYTES = 64 << 20
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
            MigrationFile(entry.name, read_input(entry, MOST_FILE_BYTES))
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


TRANSACTION_STARTS = (
    ("BEGIN",),
    ("START", "TRANSACTION"),
    ("COMMIT",),
    ("END",),
    ("ABORT",),
    ("ROLLBACK",),
    ("PREPARE", "TRANSACTION"),
)
# Statements that the server refuses inside a transaction block.
OUTSIDE_STARTS = (
    ("VACUUM",),
    ("ALTER", "SYSTEM"),
    ("CREATE", "DATABASE"),
    ("DROP", "DATABASE"),
    ("CREATE", "TABLESPACE"),
    ("DROP", "TABLESPACE"),
)
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# A statement that no server accepts, put behind a file to see how far the parser came.
SYNTAX_PROBE = "\n; SELEC probe"


@dataclass(frozen=True)
class FileFinding:
    """Something in a file that keeps it from being applied. Lines count from 1."""

    name: str
    line: int
    problem: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}:{self.line}: {self.problem}; {self.advice}"


def check_files(
    directory: MigrationDirectory, pending: Sequence[MigrationFile], *, pooled: bool
) -> list[FileFinding]:
    """Check the pending files' names, encoding and statements, without a database.

    `pooled` says that the connection goes through a transaction pooler, which allows less.
    """
    numbers = Counter(name.partition("_")[0] for name in directory.names)
    findings: list[FileFinding] = []
    for file in pending:
        number = file.name.partition("_")[0]
        if not NAME_PATTERN.fullmatch(file.name):
            findings.append(
                FileFinding(file.name, 1, "bad file name", "name it like 0115_add_something.sql")
            )
        elif numbers[number] > 1:
            findings.append(
                FileFinding(file.name, 1, f"number {number} is used twice", "renumber one file")
            )
        findings += _check_bytes(file) or _check_statements(file, pooled=pooled)
    return findings


def probe_syntax(conn: Connection, file: MigrationFile) -> FileFinding | None:
    """Let the server parse a file without running any of it.

    A text of several statements is parsed whole before its first one runs, so an error behind
    the file's own end means that the file is fine. Each probe logs one error on the server.
    """
    try:
        with conn.transaction():
            conn.execute("SET TRANSACTION READ ONLY")
            conn.execute(file.text + SYNTAX_PROBE)
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise
        offset = int(error.diag.statement_position or 1) - 1
        if offset >= len(file.text):
            return None
        line, column = line_and_column(file.text, offset)
        message = error.diag.message_primary or "it does not parse"
        if "\n" in message:
            # What is not closed is quoted to its end, the probe with it.
            message = message.partition(" at or near ")[0]
        return FileFinding(file.name, line, f"column {column}: {message}", "correct the file")
    raise AssertionError("the syntax probe itself was accepted")


def refuse(findings: Sequence[FileFinding]) -> None:
    """Raise UsageError when there are findings."""
    if findings:
        first, *others = findings
        count = len({finding.name for finding in findings})
        raise UsageError(
            "1 migration file can't be applied"
            if count == 1
            else f"{count} migration files can't be applied",
            why=str(first),
            next_step="correct what is named; all files were checked first, nothing was changed",
            code="bad_migration_files",
            details=tuple(str(finding) for finding in others),
        )


def _check_bytes(file: MigrationFile) -> list[FileFinding]:
    if file.content.startswith(UTF16_MARKS):
        return [FileFinding(file.name, 1, "the file is UTF-16", "save it as UTF-8")]
    try:
        file.content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = file.content.count(b"\n", 0, error.start) + 1
        byte = file.content[error.start]
        return [FileFinding(file.name, line, f"byte 0x{byte:02x} is not UTF-8", "save it as UTF-8")]
    nul = file.content.find(b"\0")
    if nul >= 0:
        line = file.content.count(b"\n", 0, nul) + 1
        return [
            FileFinding(
                file.name, line, "there is a NUL byte", "remove it: the server would stop there"
            )
        ]
    return []


def _check_statements(file: MigrationFile, *, pooled: bool) -> Iterator[FileFinding]:
    for directive in file.directives:
        if directive != NO_TRANSACTION:
            yield FileFinding(
                file.name, 1, f"unknown directive {directive}", f"only {NO_TRANSACTION} is known"
            )
    if not file.in_transaction:
        if len(file.statements) != 1:
            count = len(file.statements)
            yield FileFinding(
                file.name, 1, f"{count} statements outside a transaction",
                "put each into a file of its own",
            )  # fmt: skip
        if pooled:
            yield FileFinding(
                file.name, 1, "it runs outside a transaction, which a pooler does not allow",
                "connect to the server directly",
            )  # fmt: skip
    for statement in file.statements:
        if found := _check_statement(statement, file, pooled=pooled):
            offset, problem, advice = found
            line, _ = line_and_column(file.text, offset)
            yield FileFinding(file.name, line, problem, advice)


def _check_statement(
    statement: SqlStatement, file: MigrationFile, *, pooled: bool
) -> tuple[int, str, str] | None:
    """The offset, problem and advice for a statement that can't be applied."""
    words = statement.words
    backslashes = (
        token.start
        for token in statement.tokens
        if token.kind is TokenKind.SYMBOL and token.text == "\\"
    )
    if (backslash := next(backslashes, None)) is not None:
        return backslash, "a psql command (backslash)", "only SQL can be applied"
    if statement.starts_with("COPY") and {"STDIN", "STDOUT"} & set(words):
        return statement.offset, "COPY from or to the client", "use INSERT"
    if any(statement.starts_with(*start) for start in TRANSACTION_STARTS) and words[1:2] != ("TO",):
        return (
            statement.offset,
            f"{words[0]} ends or starts a transaction",
            "remove it: each file is one transaction already",
        )
    if file.in_transaction and (command := _refused_in_transaction(statement)):
        return (
            statement.offset,
            f"{command} can't run inside a transaction",
            f"put `-- aperture-db: {NO_TRANSACTION}` into the file's head",
        )
    if pooled and changes_session(statement):
        return (
            statement.offset,
            "a setting outlives the file on a pooler",
            "use SET LOCAL, or set_config(…, true)",
        )
    return None


def _refused_in_transaction(statement: SqlStatement) -> str | None:
    """The words for which the server would refuse the statement inside a transaction block."""
    for start in OUTSIDE_STARTS:
        if statement.starts_with(*start):
            return " ".join(start)
    # REFRESH MATERIALIZED VIEW CONCURRENTLY is allowed there.
    if "CONCURRENTLY" in statement.words and not statement.starts_with("REFRESH"):
        return "CONCURRENTLY"
    return None
