"""A network that vanishes without a word, between two network namespaces."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.cli import COMMAND, environment
from tests.conftest import apply_migrations
from tests.dump_files import PHRASE, PLACES, execute, make_dump
from tests.servers.clusters import create_cluster, start_on_free_port, superuser_conninfo
from tests.servers.programs import server_under_test
from tests.waiting import wait_until

IP = shutil.which("ip") or ""
COMMAND_SECONDS = 90
SERVER_SECONDS = 120
OURS = "application_name = 'aperture-db' AND pid <> pg_backend_pid()"
# Nobody's hardware: frames to it are sent, and nothing takes them.
NOBODY = "02:00:00:00:00:99"


@dataclass(frozen=True)
class Link:
    """A namespace for the tool, and its way to the server."""

    namespace: str
    subnet: str

    @property
    def server_address(self) -> str:
        return f"{self.subnet}.1"

    def start(self, *arguments: str, conninfo: str) -> subprocess.Popen[str]:
        """Start the tool in the namespace."""
        return subprocess.Popen(
            [IP, "netns", "exec", self.namespace, *COMMAND, *arguments],
            env=environment(make_conninfo(conninfo, host=self.server_address), **PLACES),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def vanish(self) -> None:
        """From now on nothing arrives, in either direction, and nobody is told."""
        ip("-n", self.namespace, "neigh", "replace", f"{self.subnet}.1", "lladdr", NOBODY,
           "nud", "permanent", "dev", "tool")  # fmt: skip
        ip("neigh", "replace", f"{self.subnet}.2", "lladdr", NOBODY, "nud", "permanent", "dev",
           self.namespace)  # fmt: skip


def ip(*words: str) -> None:
    subprocess.run([IP, *words], check=True, capture_output=True)


@pytest.fixture
def link() -> Iterator[Link]:
    if os.geteuid() != 0 or not IP:
        pytest.skip("needs root and ip (Debian package iproute2)")
    name = f"adb{secrets.token_hex(4)}"
    found = Link(name, f"198.18.{secrets.randbelow(256)}")
    try:
        ip("netns", "add", name)
        ip("link", "add", name, "type", "veth", "peer", "name", "tool", "netns", name)
    except subprocess.CalledProcessError as error:
        subprocess.run([IP, "netns", "delete", name], check=False, capture_output=True)
        pytest.skip(f"this machine forbids network namespaces: {error.stderr}")
    ip("address", "add", f"{found.subnet}.1/24", "dev", name)
    ip("link", "set", name, "up")
    ip("-n", name, "address", "add", f"{found.subnet}.2/24", "dev", "tool")
    ip("-n", name, "link", "set", "tool", "up")
    yield found
    ip("netns", "delete", name)


@pytest.fixture
def server(link: Link) -> Iterator[str]:
    """Superuser access to a server that the namespace reaches."""
    home = Path(tempfile.mkdtemp(prefix="aperture-db-network-"))
    home.chmod(0o755)
    addresses = f"127.0.0.1,{link.server_address}"
    cluster, password = create_cluster(server_under_test(), home, {"listen_addresses": addresses})
    with (cluster.data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {link.subnet}.0/24 scram-sha-256\n")
    running = start_on_free_port(cluster)
    yield superuser_conninfo(running, password)
    running.stop(gently=False)
    shutil.rmtree(home)


@dataclass(frozen=True)
class Case:
    """A command that is at work, in a database of its own, when the network vanishes."""

    command: tuple[str, ...]
    blocker: str = ""
    """What somebody else does in a transaction until then; the command waits for its end."""


def cases(dump: Path, directory: Path) -> dict[str, Case]:
    confirmed = ("--confirm", PHRASE)
    locked = "LOCK TABLE watch_history"
    return {
        "watch": Case(("stats", "--watch", "1", "--json")),
        "migrate": Case(("migrate", "--lock-timeout", "5m"), locked),
        "backup": Case(("backup", "--dir", str(directory)), locked),
        "restore": Case(("restore", str(dump), *confirmed, "--no-safety-backup")),
        "purge": Case(
            ("purge", "--what", "movies", "--no-backup", "--lock-timeout", "5m", *confirmed),
            locked,
        ),
        "clean": Case(
            ("clean", "expired-sessions", "--apply", "--lock-timeout", "5m", *confirmed),
            "SELECT FROM sessions FOR UPDATE",
        ),
        "vacuum": Case(("vacuum", "--table", "watch_history", "--lock-timeout", "5m"), locked),
        "relink": Case(("relink", "--keep"), locked),
    }


def prepare(server: str, names: Iterable[str]) -> None:
    """A database for each, with an expired session to clean and a last migration to apply."""
    first, *others = names
    with closing(psycopg.connect(server, autocommit=True)) as admin:
        admin.execute(f"CREATE DATABASE {first}".encode())
        conninfo = make_conninfo(server, dbname=first)
        apply_migrations(conninfo, until="0113")
        execute(
            conninfo,
            "INSERT INTO users (username, provider, provider_user_id) VALUES ('a', 'emby', '1')",
            "INSERT INTO sessions (user_id, expires_at) SELECT id, now() - interval '3 days' "
            "FROM users",
        )
        for name in others:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {first}".encode())


def test_every_command_ends_and_its_locks_too(link: Link, server: str, tmp_path: Path) -> None:
    names = cases(tmp_path, tmp_path)
    prepare(server, names)
    databases = {name: make_conninfo(server, dbname=name) for name in names}
    all_cases = cases(make_dump(databases["restore"], tmp_path).path, tmp_path)
    with closing(psycopg.connect(server, autocommit=True)) as admin, ExitStack() as stack:
        holders = []
        for name, case in all_cases.items():
            if case.blocker:
                holder = psycopg.connect(databases[name], application_name="holder")
                holders.append(stack.enter_context(closing(holder)))
                holder.execute(case.blocker.encode())
        started = {
            name: link.start(*case.command, conninfo=databases[name])
            for name, case in all_cases.items()
            if name != "restore"
        }

        def busy() -> set[str]:
            query = f"SELECT datname FROM pg_stat_activity WHERE {OURS} AND xact_start IS NOT NULL"
            return {row[0] for row in admin.execute(query.encode())}

        held = {name for name, case in all_cases.items() if case.blocker}
        for name in held:
            wait_until(lambda name=name: name in busy(), f"{name} waits for its lock", 120)  # type: ignore[misc]
        # A restore refuses to begin while anybody else is connected, so nobody can hold it up.
        restore = all_cases["restore"].command
        started["restore"] = link.start(*restore, conninfo=databases["restore"])
        wait_until(lambda: busy() >= held | {"restore"}, "the restore is at work", 120)
        link.vanish()
        vanished = time.monotonic()
        for holder in holders:
            holder.rollback()
        for name, process in started.items():
            left = COMMAND_SECONDS - (time.monotonic() - vanished)
            _out, err = process.communicate(timeout=max(1, left))
            assert process.returncode > 0, name
            assert "Traceback" not in err, name
        left = SERVER_SECONDS - (time.monotonic() - vanished)
        wait_until(lambda: not busy(), "no transaction of ours is left", max(1, left))
