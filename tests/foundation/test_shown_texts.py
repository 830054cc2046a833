"""Names, values and paths that try to control a terminal, or to look like advice of this tool.

Everything that is shown is checked for characters that a terminal obeys or hides, and everything
that could be pasted is: command lines run in a shell with a stand-in for the tool, SQL without its
quoted names and strings.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.cli.app import run_program
from aperture_db.format import UNSHOWN
from tests.cli import Outcome
from tests.foundation.test_name_resolution import CONFIRMED, MODES

# As long as PostgreSQL's names may be, with three bytes to tell one from another.
HOSTILE = "q\x1b[2J\x9b\u202e\nnext:  touch INJ;$(touch INJ)`touch INJ`'\"[/b]"
# What a file may be called.
HOSTILE_FILE = HOSTILE.replace("/", "") + os.fsdecode(b"\xff")
PROGRAMS = ("aperture-db", "cat", "chown", "df", "getent", "ls", "mkdir", "pg_restore", "sed")
OUTPUTS: tuple[tuple[str, ...], ...] = (("-vv",), ("--json",))
KEYWORDS = "ALTER|ANALYZE|CREATE|DELETE|DROP|GRANT|INSERT|REINDEX|ROLLBACK|SELECT|UPDATE|VACUUM"
QUOTED = re.compile(r"""(?:U&)?"(?:[^"]|"")*"|'(?:[^']|'')*'""")


PLANTED = """
CREATE TABLE {0} (id uuid PRIMARY KEY, {1} text, movie uuid);
CREATE TABLE {2} (id uuid PRIMARY KEY, {1} uuid REFERENCES movies ON DELETE CASCADE);
INSERT INTO {0} SELECT gen_random_uuid(), n::text FROM generate_series(1, 12000) AS n;
INSERT INTO {2} SELECT gen_random_uuid(), (SELECT id FROM movies LIMIT 1)
    FROM generate_series(1, 12000);
CREATE INDEX {3} ON {0} ({1});
CREATE INDEX {4} ON {0} ({1});
CREATE INDEX {5} ON {0} ({1});
ALTER TABLE {0} ADD CONSTRAINT {6} CHECK ({1} <> '') NOT VALID;
ALTER TABLE {0} SET (autovacuum_enabled = off);
DELETE FROM {0} WHERE random() < 0.5;
CREATE VIEW {7} AS SELECT * FROM {0};
CREATE FUNCTION {8}() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE NOTICE ''%'', tg_name; RETURN NULL; END';
CREATE TRIGGER {9} AFTER DELETE ON {0} FOR EACH ROW EXECUTE FUNCTION {8}();
CREATE TRIGGER {9} AFTER DELETE ON movies FOR EACH ROW EXECUTE FUNCTION {8}();
CREATE PUBLICATION {0} FOR TABLE movies;
CREATE STATISTICS {1} ON id, title FROM movies;
COMMENT ON TABLE movies IS {text};
INSERT INTO aperture_migrations (name) VALUES ({text});
UPDATE users SET username = username || {text};
UPDATE movies SET title = title || {text};
UPDATE series SET title = title || {text};
UPDATE embeddings_768 SET model = {text} WHERE random() < 0.3;
INSERT INTO job_runs (job_name, status, started_at, completed_at, duration_ms, error_message)
    SELECT {text}, 'failed', now(), now(), 1, {text}
    FROM generate_series(1, 4);
UPDATE backup_config SET backup_path = {text};
INSERT INTO system_settings (key, value) VALUES ({text}, {text});
UPDATE system_settings SET value = {text} WHERE key LIKE '%embedding_model%';
"""


class Checker:
    """Runs commands and checks what they print; counts the commands that could be pasted."""

    def __init__(self, directory: Path) -> None:
        self._stand_ins = directory / "programs"
        self._stand_ins.mkdir()
        for name in PROGRAMS:
            program = self._stand_ins / name
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)
        self._scratch = directory / "scratch"
        self._scratch.mkdir()
        self.pasted: set[str] = set()

    def run(self, *arguments: str, **variables: str) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            for name, value in variables.items():
                patch.setenv(name, value)
            code = run_program(list(arguments))
        outcome = Outcome(code, out.getvalue(), err.getvalue())
        self.check(outcome, " ".join(arguments))
        return outcome

    def check(self, outcome: Outcome, what: str) -> None:
        assert "failed unexpectedly" not in outcome.err, outcome.err
        printed = outcome.out + outcome.err
        unshown = {c for c in UNSHOWN.findall(printed) if c != "\n"}
        assert not unshown, f"{what}: {unshown!r} in {printed}"
        assert not re.search(r"^\s*next:  touch", printed, re.MULTILINE), f"{what}: {printed}"
        for line in printed.splitlines():
            if "INJ" in line:
                self._check_line(line, what)

    def _check_line(self, line: str, what: str) -> None:
        for command in re.findall(rf"(?<![\w/-])(?:{'|'.join(PROGRAMS)}) .*", line):
            self._paste(command, what)
        if found := re.search(rf"\b(?:{KEYWORDS}) .*;$", line):
            bare = QUOTED.sub("", found[0])
            assert "INJ" not in bare, f"{what}: {line}"
            self.pasted.add(found[0])

    def _paste(self, command: str, what: str) -> None:
        subprocess.run(
            ["/bin/bash", "-c", command],
            cwd=self._scratch,
            env={"PATH": f"{self._stand_ins}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert not (self._scratch / "INJ").exists(), f"{what}: {command}"
        self.pasted.add(command)


@pytest.fixture
def checker(tmp_path: Path) -> Checker:
    return Checker(tmp_path)


@pytest.fixture
def hostile_database(admin_conninfo: str, sample_database: Callable[[], str]) -> Iterator[str]:
    """A superuser's connection string; role, database, schema and all that is in it are hostile."""
    name = sql.Identifier(HOSTILE)
    source = str(conninfo_to_dict(sample_database())["dbname"])
    there = conninfo_to_dict(admin_conninfo)
    password = str(there.get("password") or "none")
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(
                name, sql.Literal(password)
            )
        )
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(source))
        )
    in_url = quote(HOSTILE, safe="")
    url = f"postgresql://{in_url}:{password}@{there['host']}:{there['port']}/{in_url}"
    try:
        with psycopg.connect(url, autocommit=True) as conn:
            plant(conn)
        yield url
    finally:
        roll_back_prepared(url)
        with psycopg.connect(admin_conninfo, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
            admin.execute(sql.SQL("DROP ROLE {}").format(name))


def roll_back_prepared(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for (gid,) in conn.execute(
            "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
        ).fetchall():
            conn.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))


def plant(conn: psycopg.Connection[Any]) -> None:
    """Objects and rows with such names, in all the places that some command speaks of."""
    text = sql.Literal(HOSTILE)

    def named(number: int) -> sql.Identifier:
        return sql.Identifier(f"{HOSTILE}{number}")

    conn.execute(sql.SQL(PLANTED).format(*map(named, range(10)), text=text))
    conn.execute(
        sql.SQL("UPDATE pg_index SET indisvalid = false WHERE indexrelid = {}::regclass").format(
            sql.Literal(named(5).as_string(conn))
        )
    )
    conn.execute("ANALYZE")
    conn.execute("BEGIN")
    conn.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(named(0)))
    conn.execute(sql.SQL("PREPARE TRANSACTION {}").format(text))


def each_mode() -> Iterator[tuple[str, ...]]:
    """Every command that works on the database, with its modes; those that delete come last."""
    for command, modes in MODES.items():
        for mode in modes:
            yield (command, *mode)
    yield ("stats", "--record", "--quiet")
    yield ("health", "--format", "nagios")
    yield ("relink", "--show", "pending")


def test_no_name_in_the_database_bends_what_is_printed(
    hostile_database: str, checker: Checker, tmp_path: Path
) -> None:
    directory = tmp_path / HOSTILE_FILE
    directory.mkdir()
    assert checker.run("stats", "-d", hostile_database).code == 0
    with psycopg.connect(hostile_database, application_name=HOSTILE) as other:
        # An open transaction that holds locks.
        other.execute("LOCK TABLE movies IN SHARE MODE")
        for words in (
            ("vacuum", "--all"),
            ("purge", "--what", "movies", "--no-backup", *CONFIRMED),
        ):
            checker.run(*words, "-d", hostile_database, "--lock-timeout", "100ms")
        checker.run("health", "--only", "blocked-queries,long-transactions,idle-in-transaction",
                    "-d", hostile_database)  # fmt: skip
    for command, *mode in each_mode():
        backups = ("--dir", str(directory)) if command == "backup" else ()
        for output in OUTPUTS if "--confirm" not in mode else OUTPUTS[:1]:
            if output == ("--json",) and ("--format" in mode):
                continue
            checker.run(command, *mode, *backups, *output, "-d", hostile_database)
    checker.run("restore", str(directory), "--dry-run", "-d", hostile_database)
    roll_back_prepared(hostile_database)
    (dump,) = sorted(directory.glob("*.dump"))[:1]
    dump = dump.rename(directory / f"-{HOSTILE_FILE}.dump")
    keep, here = ("--others", "keep"), ("--dir", str(directory))
    with_dump: tuple[tuple[str, ...], ...] = (
        ("backup", "--list", "--dir", str(directory)),
        ("backup", "--verify", str(dump)),
        ("restore", str(dump), "--dry-run", "-d", hostile_database),
        ("restore", str(dump), *keep, "--dry-run", "-d", hostile_database),
        ("restore", str(dump), *keep, *CONFIRMED, *here, "-d", hostile_database),
        ("restore", str(dump), "--drill", "-d", hostile_database),
    )
    for dump_words in with_dump:
        for output in OUTPUTS:
            checker.run(*dump_words, *output)
    assert any(" --table " in command for command in checker.pasted), checker.pasted
    assert any(command.startswith("DROP INDEX") for command in checker.pasted), checker.pasted


def test_no_schema_of_aperture_bends_what_is_printed(
    hostile_database: str, checker: Checker
) -> None:
    # Not the role's name, which the default search_path would find.
    name, schema = sql.Identifier(HOSTILE), sql.Identifier(f"{HOSTILE}s")
    with psycopg.connect(hostile_database, autocommit=True) as conn:
        conn.execute(sql.SQL("ALTER SCHEMA public RENAME TO {}").format(schema))
        conn.execute("CREATE SCHEMA public")
    commands: tuple[tuple[str, ...], ...] = (
        ("stats",), ("health",), ("migrate", "--check"), ("check-extensions",), ("clean",),
    )  # fmt: skip
    for command in commands:
        checker.run(*command, "-vv", "-d", hostile_database)
    assert any("SET search_path = U&" in pasted for pasted in checker.pasted), checker.pasted
    with psycopg.connect(hostile_database, autocommit=True) as conn:
        conn.execute(sql.SQL("ALTER DATABASE {} SET search_path = {}").format(name, schema))
    for command in commands:
        checker.run(*command, "-vv", "-d", hostile_database)


def test_no_path_or_variable_bends_what_is_printed(
    checker: Checker, tmp_path: Path, admin_conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / HOSTILE_FILE
    directory.mkdir()
    (directory / f"0001_{HOSTILE_FILE}.sql").write_text("SELECT 1")
    (directory / f"-{HOSTILE_FILE}.dump").write_bytes(b"PGDMP")
    (directory / f"-{HOSTILE_FILE}.zip").write_bytes(b"PK\x03\x04")
    (directory / ".env").write_text("DATABASE_URL=postgresql://nowhere.invalid/x\n")
    monkeypatch.chdir(directory)
    missing = str(directory / "-missing" / HOSTILE_FILE)
    away = ("-d", "postgresql://nowhere.invalid/x")
    here = ("-d", admin_conninfo)
    for words in (
        ("stats",),
        ("stats", "--env-file", missing),
        ("stats", HOSTILE),
        (HOSTILE,),
        ("health", "--only", HOSTILE),
        ("health", "--warn", f"latency={HOSTILE}"),
        ("health", "--warn", HOSTILE),
        ("health", "--format", "prometheus", "--output", missing, *here),
        ("report", "--output", missing, *here),
        ("migrate", "--dir", missing, *here),
        ("migrate", "--dir", str(directory), *here),
        ("migrate", "--mark-applied", HOSTILE, *here),
        ("migrate", "--to", HOSTILE, *here),
        ("backup", "--dir", missing, *here),
        ("backup", "--list", "--dir", missing),
        ("backup", "--list", "--dir", "."),
        ("backup", "--verify", missing),
        ("backup", "--compress", HOSTILE, *here),
        *(("backup", "--verify", name.name) for name in directory.glob("-*")),
        *(("restore", "--dry-run", *here, "--", name.name) for name in directory.glob("-*")),
        ("restore", missing, *here),
        ("vacuum", "--table", HOSTILE, *here),
        ("clean", HOSTILE, *here),
        ("relink", "--import", missing, *here),
        ("relink", "--export", missing, *here),
        ("relink", "--match", HOSTILE, *here),
        ("purge", "--what", HOSTILE, *here),
        ("purge", "--what", "ratings", "--export-ratings", missing, *here),
        ("psql", *away, "--", "-c", HOSTILE),
        ("psql", "--json", "--", "-c", HOSTILE),
        ("stats", "-d", HOSTILE),
        ("stats", "-d", make_conninfo(host=HOSTILE, dbname=HOSTILE, user=HOSTILE)),
        ("stats", "-d", make_conninfo(host=f"/{HOSTILE}", dbname=HOSTILE, user=HOSTILE)),
        ("stats", "-d", make_conninfo(admin_conninfo, dbname=HOSTILE)),
        ("stats", "-d", make_conninfo(admin_conninfo, user=HOSTILE)),
        ("stats", "-d", make_conninfo(admin_conninfo, sslrootcert=HOSTILE, sslmode="verify-ca")),
        ("stats", "-d", f"postgresql://u@h.invalid/x?{HOSTILE}={HOSTILE}"),
    ):
        for output in OUTPUTS:
            checker.run(words[0], *output, *words[1:])
    for variables in (
        {"DATABASE_URL": HOSTILE},
        {"DATABASE_URL_FILE": missing},
        {"PGHOST": HOSTILE, "PGUSER": HOSTILE, "PGDATABASE": HOSTILE},
        {"PGHOST": "nowhere.invalid", "PGSERVICE": HOSTILE},
        {"PGHOST": "nowhere.invalid", "PGSSLMODE": HOSTILE},
        {"PGHOST": "nowhere.invalid", "PGPORT": HOSTILE},
        {"PGHOST": "nowhere.invalid", "PGTARGETSESSIONATTRS": HOSTILE},
        {"PGHOST": "nowhere.invalid", "APERTURE_MIGRATIONS_DIR": missing},
    ):
        for output in OUTPUTS:
            for command in ("stats", "migrate"):
                checker.run(command, *output, **variables)
    assert any(command.startswith("aperture-db ") for command in checker.pasted), checker.pasted
    assert any(command.startswith("ls ") for command in checker.pasted), checker.pasted


def test_no_message_of_the_server_is_advice(
    new_database: Callable[[], str], checker: Checker, tmp_path: Path
) -> None:
    conninfo = new_database()
    text = HOSTILE.replace("'", "''")
    (tmp_path / "0001_raises.sql").write_text(
        f"DO $do$ BEGIN RAISE NOTICE USING MESSAGE = '{text}'; RAISE EXCEPTION USING "
        f"MESSAGE = '{text}', DETAIL = '{text}', HINT = '{text}', TABLE = '{text}'; END $do$;"
    )
    for output in OUTPUTS:
        outcome = checker.run("migrate", "--dir", str(tmp_path), *output, "-d", conninfo)
        assert outcome.code == 1
