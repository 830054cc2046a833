"""A network that vanishes without a word, between two network namespaces."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.cli import COMMAND, environment
from tests.dump_files import PHRASE, PLACES, make_dump
from tests.program import run_inside
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


def test_every_command_ends_and_its_locks_too(link: Link, server: str, tmp_path: Path) -> None:
    databases = {name: make_conninfo(server, dbname=name) for name in
                 ("restore", "watch", "migrate", "backup")}  # fmt: skip
    with closing(psycopg.connect(server, autocommit=True)) as admin:
        admin.execute("CREATE DATABASE restore")
        assert run_inside("migrate", database=databases["restore"]).code == 0
        for name in ("watch", "backup"):
            admin.execute(f"CREATE DATABASE {name} TEMPLATE restore".encode())
        admin.execute("CREATE DATABASE migrate")
        dump = make_dump(databases["restore"], tmp_path).path
        holders = [
            psycopg.connect(databases[name], application_name="holder")
            for name in ("restore", "backup")
        ]
        for holder in holders:
            holder.execute("LOCK TABLE movies IN ACCESS EXCLUSIVE MODE")
        started = {
            "watch": link.start("stats", "--watch", "1", "--json", conninfo=databases["watch"]),
            "backup": link.start("backup", "--dir", str(tmp_path), conninfo=databases["backup"]),
            "migrate": link.start("migrate", conninfo=databases["migrate"]),
        }
        holders[0].rollback()
        holders[0].close()
        started["restore"] = link.start(
            "restore", str(dump), "--confirm", PHRASE, "--no-safety-backup",
            conninfo=databases["restore"],
        )  # fmt: skip

        def busy() -> set[str]:
            query = f"SELECT datname FROM pg_stat_activity WHERE {OURS} AND xact_start IS NOT NULL"
            return {row[0] for row in admin.execute(query.encode())}

        wait_until(lambda: busy() >= {"restore", "backup"}, "they are at work")
        link.vanish()
        vanished = time.monotonic()
        holders[1].rollback()
        holders[1].close()

        for name, process in started.items():
            left = COMMAND_SECONDS - (time.monotonic() - vanished)
            _out, err = process.communicate(timeout=max(1, left))
            assert process.returncode not in (0, None), name
            assert "Traceback" not in err, name
        left = SERVER_SECONDS - (time.monotonic() - vanished)
        wait_until(lambda: not busy(), "no transaction of ours is left", max(1, left))
