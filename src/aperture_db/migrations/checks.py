"""What is wrong with migration files, found before any of them is applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg

from aperture_db.errors import UsageError
from aperture_db.migrations.directory import (
    NAME_PATTERN,
    NO_TRANSACTION,
    MigrationDirectory,
    MigrationFile,
    changes_session,
)
from aperture_db.postgres.session import Connection
from aperture_db.postgres.sql_scanner import SqlStatement, TokenKind, line_and_column

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
