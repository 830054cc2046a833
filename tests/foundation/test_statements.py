"""Every statement that the program sends, read from the log of a server.

Each of its transactions is opened by the contract, and each of its statements names what it means
with a schema, but for PostgreSQL's own objects. What runs on the path of the role is listed here.
"""

from __future__ import annotations

import csv
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from aperture_db.cli.app import COMMANDS
from aperture_db.postgres.connection import APPLICATION_NAME
from aperture_db.postgres.session import CONTRACT, ORIGINAL_PATH, set_statement, timeouts_of
from aperture_db.postgres.sql_scanner import SqlStatement, TokenKind, split_statements
from tests.conftest import apply_migrations, fill_sample
from tests.foundation.test_name_resolution import CONFIRMED, MODES
from tests.program import run_inside
from tests.servers.clusters import start_server
from tests.servers.programs import server_under_test
from tests.servers.shared import SharedServers

SETTINGS = {
    "logging_collector": "on",
    "log_destination": "csvlog",
    "log_filename": "statements.log",
    "log_rotation_age": "0",
    "log_rotation_size": "0",
    "log_statement": "all",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
MORE_MODES: dict[str, tuple[tuple[str, ...], ...]] = {
    "stats": (("--tables", "--estimate"),),
    "health": (("--format", "nagios"), ("--json",)),
    "migrate": (("--check",), ("--to", "0114"), ("--mark-applied", "0114")),
    "relink": (("--show", "pending"), ("--export", "{kept}"), ("--import", "{kept}"),
               ("--forget", *CONFIRMED)),
    "vacuum": (("--jobs", "2", "--all"),),
}  # fmt: skip

OPENING = re.compile(
    "BEGIN ISOLATION LEVEL (?:READ COMMITTED|REPEATABLE READ)(?: READ ONLY)? NOT DEFERRABLE;"
    f"(?:{re.escape(ORIGINAL_PATH)};)?"
)
ENDS = re.compile(r"(?:RELEASE SAVEPOINT aperture_db_guard;\s*)?(?:COMMIT|ROLLBACK)(?! TO)\b")
# What pg_dump and pg_restore, which carry the program's name, send as their first statement.
CLIENT_PROGRAMS = re.compile(r"SELECT pg_catalog\.set_config\('search_path', '', false\);?\Z")
# PostgreSQL refuses them inside a transaction, but for ANALYZE, which would keep its locks there.
# They name what they work on with its schema.
ALONE = re.compile(
    r"ANALYZE |VACUUM |REINDEX |CREATE DATABASE |DROP DATABASE |CREATE INDEX CONCURRENTLY "
)
# From here to the end of the transaction, or until the contract's path is set again, names mean
# what they mean to the role: for files of migrations, the work of dumps, CREATE EXTENSION and the
# rebuild of purge --what everything.
ROLE_PATH = "SELECT pg_catalog.set_config('search_path', $1, true)"
ON_ROLE_PATH = ("check-extensions --create", "migrate", "purge --what everything", "restore")
CONTRACT_PATH = re.compile(r"SET LOCAL search_path = pg_catalog, pg_temp")

BEFORE_RELATIONS = {"FROM", "JOIN", "INTO", "UPDATE", "USING", "TRUNCATE", "TABLE", "REFERENCES"}
NOT_RELATIONS = {"(", "CURRENT", "LATERAL", "SELECT", "SET", "'", "[", ")", "ROWS", "UNNEST"}
FILLERS = {"ONLY", "TABLE", "IF", "EXISTS", "NOT"}
"""Words between such a keyword and the name."""
FROM_IN_FUNCTIONS = {"EXTRACT", "SUBSTRING", "TRIM", "OVERLAY", "POSITION"}


@dataclass(frozen=True)
class Sent:
    """One message of a client, which may hold several statements."""

    session: str
    application: str
    text: str


def read_log(file: Path, database: str) -> list[Sent]:
    """What was sent to the database."""
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.reader(lines))
    sent = []
    for row in rows:
        found = re.match(r"(?:statement|execute [^:]*): (.*)\Z", row[13], re.DOTALL)
        if row[2] == database and found:
            sent.append(Sent(row[5], row[22], found[1]))
    return sent


@dataclass
class Session:
    """Follows one session of the program through its messages."""

    settings: str
    """What opens a transaction behind BEGIN."""
    known: set[str]
    is_open: bool = False
    on_role_path: bool = False
    used_role_path: bool = False

    def read(self, text: str) -> Iterator[str]:
        """What goes against the contract in the next message."""
        if text.startswith("BEGIN"):
            self.is_open, self.on_role_path = True, False
            opening = OPENING.match(text)
            if opening is None or not text.startswith(self.settings, opening.end()):
                yield f"opened without the contract: {text[:200]}"
                return
            text = text[opening.end() + len(self.settings) :].removeprefix(";")
        if text and not self.is_open and not ALONE.match(text):
            yield f"outside of a transaction: {text[:200]}"
        if text == ROLE_PATH:
            self.on_role_path = self.used_role_path = True
        elif CONTRACT_PATH.search(text):
            self.on_role_path = False
        if not self.on_role_path:
            for name in unqualified(text, self.known):
                yield f"{name} without its schema: {text[:200]}"
        if ENDS.match(text) or text.endswith(";COMMIT"):
            self.is_open = False


def unqualified(text: str, known: set[str]) -> set[str]:
    """The relations of a text that stand without a schema and are not PostgreSQL's own."""
    found: set[str] = set()
    for statement in split_statements(text):
        found |= {name for name in _relations(statement) if name not in known}
    return found


def _relations(statement: SqlStatement) -> Iterator[str]:
    tokens = [
        f'"{token.text}' if token.kind is TokenKind.NAME else token.text
        for token in statement.tokens
    ]
    own = {
        tokens[n - 1].lower()
        for n, word in enumerate(tokens)
        if n and word == "AS" and tokens[n + 1 : n + 2] in (["("], ["MATERIALIZED"], ["NOT"])
    }
    # WITH name (columns) AS (…)
    own |= {tokens[n - 1].lower() for n, word in enumerate(tokens) if n and word == "("}
    opened: list[str] = []
    for n, word in enumerate(tokens):
        if word == "(":
            opened.append(tokens[n - 1] if n else "")
        elif word == ")" and opened:
            opened.pop()
        elif word in BEFORE_RELATIONS:
            if word == "FROM" and (
                tokens[n - 1] == "DISTINCT" or (opened and opened[-1] in FROM_IN_FUNCTIONS)
            ):
                continue
            if word == "UPDATE" and tokens[n - 1] in ("FOR", "DO", "ON", "KEY"):
                continue
            if word == "USING" and statement.words[:2] == ("CREATE", "INDEX"):
                continue
            yield from _names(tokens, n + 1, own)


def _names(tokens: list[str], position: int, own: set[str]) -> Iterator[str]:
    """The names of a list that starts there."""
    while True:
        while tokens[position : position + 1] and tokens[position] in FILLERS:
            position += 1
        if position >= len(tokens) or tokens[position] in NOT_RELATIONS:
            return
        name, behind = tokens[position], tokens[position + 1 : position + 2]
        if behind == ["("] or not re.match(r'["A-Za-z_]', name):
            return
        if behind == ["."]:
            position += 3
        else:
            if name.lower() not in own:
                yield name.lower().removeprefix('"')
            position += 1
        if tokens[position : position + 1] == ["AS"]:
            position += 2
        elif tokens[position : position + 1] and re.match(r"[a-z]\w*\Z", tokens[position]):
            position += 1
        if tokens[position : position + 1] != [","]:
            return
        position += 1


@dataclass(frozen=True)
class LoggedDatabase:
    conninfo: str
    name: str
    log: Path
    version: int
    known: set[str]
    """PostgreSQL's own relations."""

    def read(self, skipped: int = 0) -> tuple[list[str], bool, int]:
        """What goes against the contract behind the first messages, whether the path of the role
        was used, and how many messages there are now."""
        sent = read_log(self.log, self.name)
        settings = set_statement({**CONTRACT, **timeouts_of(self.version)})
        sessions: dict[str, list[str]] = {}
        for each in sent[skipped:]:
            if each.application == APPLICATION_NAME:
                sessions.setdefault(each.session, []).append(each.text)
        violations: list[str] = []
        used_role_path = False
        for texts in sessions.values():
            if not CLIENT_PROGRAMS.match(texts[0].strip()):
                session = Session(settings, self.known)
                violations += [found for text in texts for found in session.read(text)]
                used_role_path |= session.used_role_path
        return list(dict.fromkeys(violations)), used_role_path, len(sent)


@pytest.fixture(scope="module")
def logging_server(servers: SharedServers) -> dict[str, str]:
    """A server that logs every statement."""

    def start(home: Path) -> dict[str, str]:
        answer = start_server(server_under_test(), home, SETTINGS)
        return answer | {"log": str(home / "data" / "log" / "statements.csv")}

    return servers.get("logging", start)


@pytest.fixture
def logged_database(logging_server: dict[str, str]) -> Iterator[LoggedDatabase]:
    """An empty database on it."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(logging_server["conninfo"], autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        query = "SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace"
        known = {str(row[0]) for row in admin.execute(query)}
        yield LoggedDatabase(
            make_conninfo(logging_server["conninfo"], dbname=name),
            name,
            Path(logging_server["log"]),
            admin.info.server_version,
            known,
        )
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_every_command_is_run() -> None:
    assert {*MODES, *MORE_MODES} == set(COMMANDS)


def test_all_statements_of_all_commands(logged_database: LoggedDatabase, tmp_path: Path) -> None:
    conninfo, kept = logged_database.conninfo, str(tmp_path / "kept.json")
    count = 0
    problems: list[tuple[tuple[str, ...], list[str]]] = []

    def check(*words: str) -> None:
        nonlocal count
        options = ("--dir", str(tmp_path)) if words[0] in ("backup", "restore") else ()
        outcome = run_inside(*words, *options, database=conninfo)
        assert "unexpectedly" not in outcome.err, outcome.err
        codes = {"health": (0, 1, 2, 3), "relink": (0, 1)}.get(words[0], (0,))
        assert outcome.code in codes, outcome
        before = count
        violations, used_role_path, count = logged_database.read(count)
        # A list of a directory needs no database.
        assert count > before or "--list" in words, f"{words} sent nothing"
        if violations:
            problems.append((words, violations))
        assert not used_role_path or " ".join(words).startswith(ON_ROLE_PATH), words

    check("check-extensions", "--create")
    for words in (("migrate", "--rehearse"), ("migrate", "--to", "0113"), ("migrate",)):
        check(*words)
    fill_sample(conninfo)
    *_, count = logged_database.read()
    for command, modes in MODES.items():
        for mode in (*modes, *MORE_MODES.get(command, ())):
            check(command, *(word.replace("{kept}", kept) for word in mode))
    (dump,) = tmp_path.glob("*.dump")
    for mode in (("--dry-run",), ("--drill",), CONFIRMED):
        check("restore", str(dump), *mode)
    assert not problems, "\n".join(
        f"{words}: {found}" for words, texts in problems for found in texts
    )


def test_a_bad_statement_is_found(logged_database: LoggedDatabase) -> None:
    """The check itself: each of these it must find, and nothing else."""
    apply_migrations(logged_database.conninfo, until="0006")
    settings = set_statement({**CONTRACT, **timeouts_of(logged_database.version)})
    begin = f"BEGIN ISOLATION LEVEL READ COMMITTED NOT DEFERRABLE;{settings}"
    with psycopg.connect(
        logged_database.conninfo, autocommit=True, application_name=APPLICATION_NAME
    ) as conn:
        conn.execute(begin.encode())
        conn.execute("SELECT count(*) FROM public.movies AS m JOIN pg_class AS c ON true")
        conn.execute("WITH m AS (SELECT 1) SELECT extract(epoch FROM now()) FROM m")
        conn.execute("COMMIT")
        assert logged_database.read()[0] == []
        conn.execute("SELECT 1")
        conn.execute(begin.replace("row_security", "quote_all_identifiers").encode())
        conn.execute("COMMIT")
        conn.execute(begin.encode())
        conn.execute("SELECT pg_catalog.set_config('search_path', %s, true)", ["public"])
        conn.execute("SELECT count(*) FROM movies")
        conn.execute("SET LOCAL search_path = pg_catalog, pg_temp")
        for statement in (
            "SELECT count(*) FROM pg_class, movies",
            "UPDATE movies SET title = title",
            "DELETE FROM public.movies USING users",
        ):
            with pytest.raises(psycopg.errors.UndefinedTable), conn.transaction():
                conn.execute(statement)
        conn.execute("ROLLBACK")
    found = [violation.partition(":")[0] for violation in logged_database.read()[0]]
    assert found == [
        "outside of a transaction",
        "opened without the contract",
        "movies without its schema",
        "movies without its schema",
        "users without its schema",
    ]
