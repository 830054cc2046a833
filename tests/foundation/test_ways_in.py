"""Every command in every mode through a transaction pooler, on a hot standby, and with a role that
may only read: it works, or says the true reason and the way out."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.cli import Outcome
from tests.conftest import apply_migrations, copy_database, fill_sample
from tests.foundation.test_name_resolution import CONFIRMED, MODES
from tests.program import run_inside
from tests.servers.roles import Rights
from tests.servers.standby import ReplicatedDatabase

Mode = tuple[str, ...]

READ_ONLY = r"read-only \(|is read-only, "
STANDBY = r"why:   (?:it is a standby|.*; the server is a standby)"
GRANT = r"next:  [^\n]*(?:GRANT |connect as )"
NOT_POOLED = "does not work through a connection pooler"


@dataclass(frozen=True)
class Expected:
    """What must be in the error where a mode does not work; None where it works."""

    standby: str | None = None
    reader: str | None = None
    pooler: str | None = None


WORKS = Expected()
WRITES = Expected(READ_ONLY, GRANT)
NOTHING_KEPT = "error: nothing is kept in this database"
# The modes that do not work everywhere, by the words that they begin with.
EXCEPTIONS: dict[str, Expected] = {
    "stats --record": WRITES,
    "migrate --mark-applied": WRITES,
    "vacuum --dry-run": WORKS,
    "vacuum --reindex-hnsw": Expected(READ_ONLY, GRANT, NOT_POOLED),
    "vacuum": WRITES,
    "clean orphans": WRITES,
    "backup --list": WORKS,
    "backup": Expected(None, GRANT, NOT_POOLED),
    "relink --keep": WRITES,
    "relink --users": WORKS,
    "relink": Expected(NOTHING_KEPT, NOTHING_KEPT),
    "purge --what everything --dry-run": Expected(None, GRANT),
    "restore DUMP --dry-run": Expected(READ_ONLY, GRANT, NOT_POOLED),
    "restore DUMP --drill": Expected(READ_ONLY, "CREATEDB", NOT_POOLED),
    "restore DUMP": Expected(READ_ONLY, GRANT, NOT_POOLED),
}
MORE_MODES: dict[str, tuple[Mode, ...]] = {
    "migrate": (("--mark-applied", "0114"),),
    "restore": (("DUMP", "--dry-run"), ("DUMP", "--drill"), ("DUMP", *CONFIRMED)),
}
COMMANDS = [command for command in MODES if command not in ("psql", "demo")]


def expectation(command: str, mode: Mode) -> Expected:
    words = " ".join((command, *mode))
    if "--dry-run" in mode and command == "purge" and "everything" not in mode:
        return WORKS
    if command == "purge" and "--dry-run" not in mode:
        return WRITES
    found = (expected for start, expected in EXCEPTIONS.items() if words.startswith(start))
    return next(found, WORKS)


def check(command: str, mode: Mode, wanted: str | None, outcome: Outcome) -> None:
    words = " ".join((command, *mode))
    assert "unexpectedly" not in outcome.err, (words, outcome)
    if wanted is None:
        # health judges the server, and 3 is its usage error.
        assert outcome.code in ((0, 1, 2, 3) if command == "health" else (0,)), (words, outcome)
        return
    assert outcome.code in (1, 2), (words, outcome)
    assert re.search(wanted, outcome.err), (words, outcome)
    if wanted == READ_ONLY:
        assert re.search(STANDBY, outcome.err), (words, outcome)


def run_all(
    command: str, database: Callable[[Mode], str], place: str, dump: Path, directory: Path
) -> None:
    for mode in (*MODES[command], *MORE_MODES.get(command, ())):
        words = [word.replace("DUMP", str(dump)) for word in mode]
        options = ("--dir", str(directory)) if command in ("backup", "restore") else ()
        outcome = run_inside(command, *words, *options, database=database(mode))
        check(command, mode, getattr(expectation(command, mode), place), outcome)


@pytest.fixture(scope="module")
def dump(
    sample_template: str, admin_conninfo: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A backup of the sample library."""
    directory = tmp_path_factory.mktemp("dumps")
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        copy_database(admin, sample_template, name)
        database = psycopg.conninfo.make_conninfo(admin_conninfo, dbname=name)
        made = run_inside("backup", "--dir", str(directory), database=database)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    assert made.code == 0, made
    (found,) = directory.glob("*.dump")
    return found


@pytest.fixture(scope="module")
def sample_on_standby(
    replicated_servers: ReplicatedDatabase,
) -> Iterator[ReplicatedDatabase]:
    """The sample library on a primary and on its standby."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(replicated_servers.primary, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        database = replicated_servers.on(name)
        apply_migrations(database.primary)
        fill_sample(database.primary)
        database.wait_until_replayed()
        yield database
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_every_exception_is_a_mode() -> None:
    known = {
        " ".join((command, *mode))
        for command in COMMANDS
        for mode in (*MODES[command], *MORE_MODES.get(command, ()))
    }
    for start in EXCEPTIONS:
        assert any(words.startswith(start) for words in known), start


@pytest.mark.parametrize("command", COMMANDS)
def test_on_a_standby(
    sample_on_standby: ReplicatedDatabase, command: str, dump: Path, tmp_path: Path
) -> None:
    run_all(command, lambda _mode: sample_on_standby.standby, "standby", dump, tmp_path)


@pytest.mark.parametrize("command", COMMANDS)
def test_with_a_reader_s_role(
    sample_database: Callable[[], str],
    limited_role: Callable[[str, Rights], str],
    command: str,
    dump: Path,
    tmp_path: Path,
) -> None:
    role = limited_role(sample_database(), "read")
    run_all(command, lambda _mode: role, "reader", dump, tmp_path)


@pytest.mark.parametrize("command", COMMANDS)
def test_through_a_pooler(
    sample_database: Callable[[], str],
    pgbouncer_conninfo: Callable[[str], str],
    command: str,
    dump: Path,
    tmp_path: Path,
) -> None:
    shared = pgbouncer_conninfo(sample_database())

    def database(_mode: Mode) -> str:
        # A purge leaves nothing for the next one.
        return pgbouncer_conninfo(sample_database()) if command == "purge" else shared

    run_all(command, database, "pooler", dump, tmp_path)
