"""Several servers: which one is taken, a standby that is promoted during a command, a database
that wakes up on connecting, and commits that wait for a standby."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from aperture_db.cli.options import PHRASE
from aperture_db.errors import ApertureDbError
from aperture_db.postgres.connection import connect
from aperture_db.postgres.settings import resolve_target
from tests.cli import finish, start_cli
from tests.conftest import apply_migrations, fill_sample
from tests.program import run_inside
from tests.proxy import Gate, is_connected, proxied
from tests.servers.programs import server_under_test
from tests.servers.shared import SharedServers, stop_servers
from tests.servers.standby import ReplicatedDatabase, start_standby
from tests.waiting import wait_until, waits_for_lock

MakeReplicated = Callable[[], ReplicatedDatabase]


def on_standby(*arguments: str, conninfo: str) -> bool:
    outcome = run_inside("check-extensions", *arguments, "--json", database=conninfo)
    return bool(outcome.envelope["data"]["server"]["is_standby"])


def test_of_several_servers_the_primary_gets_what_writes(
    replicated_database: MakeReplicated,
) -> None:
    both = replicated_database().both
    preferring = f"{both} target_session_attrs=prefer-standby"
    assert on_standby(conninfo=both), "the first that answers"
    assert on_standby(conninfo=preferring)
    assert not on_standby(conninfo=f"{both} target_session_attrs=read-write")
    assert not on_standby("--create", conninfo=both)
    assert not on_standby("--create", conninfo=preferring)
    for command in ("stats", "health"):
        assert run_inside(command, "--json", database=preferring).envelope["error"] is None
    # What they read decides about what they write.
    assert run_inside("migrate", "--status", database=preferring).code == 0
    assert run_inside("migrate", database=preferring).code == 0


def test_without_a_primary_the_error_says_so_and_waits(
    replicated_database: MakeReplicated,
) -> None:
    database = replicated_database()
    port = psycopg.conninfo.conninfo_to_dict(database.standby)["port"]
    standbys = psycopg.conninfo.make_conninfo(
        database.standby, host="127.0.0.1,localhost", port=str(port)
    )
    outcome = run_inside("migrate", database=standbys)
    assert outcome.code == 3
    assert f"@127.0.0.1:{port},localhost:{port}/" in outcome.err
    assert "none of the servers 127.0.0.1,localhost accepts writes" in outcome.err
    assert "--wait 60" in outcome.err
    waited = run_inside("migrate", "--wait", "3", database=standbys)
    assert "waiting up to 3 s for the database: none of the servers" in waited.err
    explicit = f"{standbys} target_session_attrs=primary"
    with pytest.raises(ApertureDbError) as caught:
        connect(resolve_target(explicit, None))
    assert caught.value.code == "no_primary"


def test_a_suspended_database_is_waited_for(aperture_database: Callable[[], str]) -> None:
    gate = Gate()
    gate.awake.clear()
    with proxied(aperture_database(), gate) as proxy:
        options = ("--connect-timeout", "2", "--wait", "60")
        process = start_cli("stats", *options, conninfo=proxy.conninfo)
        assert process.stderr is not None
        reason = process.stderr.readline()
        assert reason.startswith("waiting up to 60 s for the database: no answer within 2 s")
        gate.awake.set()
        assert finish(process).code == 0


@dataclass(frozen=True)
class Pair:
    """A primary and a standby of the test's own."""

    database: ReplicatedDatabase
    stop_primary: Callable[[], None]

    def promote(self) -> None:
        with psycopg.connect(self.database.standby, autocommit=True) as standby:
            assert standby.execute("SELECT pg_promote(true, 60)").fetchone() == (True,)

    def create(self, name: str, template: str = "template1") -> ReplicatedDatabase:
        with psycopg.connect(self.database.primary, autocommit=True) as primary:
            primary.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            # A copied sequence is written to the log again only after a checkpoint: without one,
            # the standby would give out numbers that are taken.
            primary.execute("CHECKPOINT")
        return self.database.on(name)


@pytest.fixture
def pair(servers: SharedServers) -> Iterator[Pair]:
    home = servers.directory / f"pair_{secrets.token_hex(4)}"
    home.mkdir()
    conninfos = start_standby(server_under_test(), home, {"max_prepared_transactions": "4"})
    database = ReplicatedDatabase(conninfos["primary"], conninfos["standby"])
    yield Pair(database, lambda: stop_servers(home / "primary"))
    stop_servers(home)
    shutil.rmtree(home)


CONFIRM = ("--confirm", PHRASE)
PATIENT = ("--lock-timeout", "5m")
LOCK = "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE"
# Commands that write, and what keeps each in the middle of its work.
WRITING = {
    "migrate": (("migrate",), LOCK.format("movies")),
    "purge": (
        ("purge", "--what", "content", "--no-backup", *PATIENT, *CONFIRM),
        LOCK.format("movies"),
    ),
    "clean": (
        ("clean", "expired-sessions", "--apply", *PATIENT, *CONFIRM),
        "LOCK TABLE sessions IN SHARE MODE",
    ),
    "extensions": (("check-extensions", "--create"), "CREATE EXTENSION vector"),
    "record": (("stats", "--record"), "CREATE SCHEMA aperture_db"),
    "reindex": (("vacuum", "--reindex-hnsw", "--table", "movies", *PATIENT), LOCK.format("movies")),
    "backup": (("backup", "--dir", "{directory}"), LOCK.format("movies")),
}


@contextmanager
def held(conninfo: str, statement: str) -> Iterator[None]:
    """Hold what the statement locks. The connection may be lost in the block."""
    with ExitStack() as stack:
        conn = psycopg.connect(conninfo)
        stack.callback(conn.close)
        conn.execute(statement.encode())
        yield


def test_a_standby_is_promoted_during_every_command_that_writes(pair: Pair, tmp_path: Path) -> None:
    old = pair.create("old")
    apply_migrations(old.primary, until="0060")
    full = pair.create("whole")
    apply_migrations(full.primary)
    fill_sample(full.primary)
    with psycopg.connect(full.primary) as conn:
        conn.execute(
            "INSERT INTO sessions (user_id, expires_at, data) "
            "SELECT id, now() - interval '1 day', '{}' FROM users"
        )
    databases = {
        name: pair.create(name, {"migrate": "old", "extensions": "template1"}.get(name, "whole"))
        for name in WRITING
    }
    commands = {
        name: [word.format(directory=tmp_path) for word in words]
        for name, (words, _) in WRITING.items()
    }
    running: dict[str, subprocess.Popen[str]] = {}
    with ExitStack() as stack:
        for name, (_, statement) in WRITING.items():
            stack.enter_context(held(databases[name].primary, statement))
            running[name] = start_cli(*commands[name], conninfo=databases[name].both)
        for name, database in databases.items():
            waiting = is_connected if name == "reindex" else waits_for_lock
            wait_until(lambda: waiting(database.primary), f"{name} waits")  # noqa: B023
        pair.database.wait_until_replayed()
        pair.stop_primary()
        first = {name: finish(process) for name, process in running.items()}
    for name, outcome in first.items():
        assert outcome.code not in (0, 2), (name, outcome)
        assert "connection" in outcome.err or "terminat" in outcome.err, (name, outcome)
        assert "unexpectedly" not in outcome.err.partition("why")[0], (name, outcome)
    again = {
        name: start_cli(*words, "--wait", "60", conninfo=databases[name].both)
        for name, words in commands.items()
    }
    pair.promote()
    for name, process in again.items():
        outcome = finish(process)
        assert outcome.code == 0, f"{name}: {outcome.err}"
    new = {name: database.standby for name, database in databases.items()}
    assert run_inside("migrate", "--check", database=new["migrate"]).code == 0
    with psycopg.connect(new["purge"]) as conn:
        assert conn.execute("SELECT count(*) FROM movies").fetchone() == (0,)
    assert on_standby(conninfo=new["extensions"]) is False
    assert len(list(tmp_path.glob("*.dump"))) == 1


def waits_for_standby(conninfo: str) -> bool:
    query = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'"
    )
    with psycopg.connect(conninfo) as conn:
        return conn.execute(query).rowcount > 0


def test_a_commit_waits_for_a_synchronous_standby(pair: Pair) -> None:
    first, second = pair.create("first"), pair.create("second")
    with psycopg.connect(pair.database.primary, autocommit=True) as primary:
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
        primary.execute("SELECT pg_reload_conf()")
        running = {
            database: start_cli("migrate", conninfo=database.primary)
            for database in (first, second)
        }
        for database in running:
            wait_until(
                lambda: waits_for_standby(database.primary),  # noqa: B023
                "a commit waits for the standby",
            )
        running[first].terminate()
        ended = finish(running[first])
        assert ended.code == 143
        # The wait that the signal ends follows the commit, which stays.
        assert "the next one was applied as a whole or not at all" in ended.err
        primary.execute("ALTER SYSTEM RESET synchronous_standby_names")
        primary.execute("SELECT pg_reload_conf()")
    assert finish(running[second]).code == 0
    assert run_inside("migrate", database=first.primary).code == 0
