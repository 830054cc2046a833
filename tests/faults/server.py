"""A server of the tests' own that they may kill."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from aperture_db.postgres.embedded import Cluster
from tests.servers.clusters import create_cluster, start_on_free_port, superuser_conninfo
from tests.servers.programs import server_under_test
from tests.waiting import wait_until

# What is committed must survive the server, and a crashed one comes back by itself.
SETTINGS = {
    "synchronous_commit": "on",
    "restart_after_crash": "on",
    "max_connections": "150",
}


@dataclass(frozen=True)
class MortalServer:
    """A cluster whose every process may be killed."""

    cluster: Cluster
    conninfo: str
    """Superuser access to the database `postgres`."""

    def of(self, database: str) -> str:
        return make_conninfo(self.conninfo, dbname=database)

    def kill_9(self) -> None:
        """Kill the postmaster; its processes notice by themselves. Waits until all are gone."""
        self._end(lambda postmaster: os.kill(postmaster, signal.SIGKILL))

    def stop_immediately(self) -> None:
        """What `docker kill` and an impatient shutdown do: no checkpoint, clients are told."""
        self._end(lambda postmaster: os.kill(postmaster, signal.SIGQUIT))

    def start(self) -> None:
        self.cluster.start()

    def wait_until_ready(self) -> None:
        """Wait for the end of a crash recovery."""
        wait_until(self._answers, "the server accepts connections", 60)

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            psycopg.connect(self.conninfo, connect_timeout=5).close()
            return True
        return False

    def _end(self, end: object) -> None:
        postmaster = int((self.cluster.data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        assert callable(end)
        end(postmaster)
        gone = [postmaster, *map(int, children)]
        wait_until(lambda: not any(map(is_alive, gone)), "the server's processes are gone", 60)


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


def start_mortal_server(home: Path) -> dict[str, str]:
    """A new server, as values that workers of pytest-xdist can share."""
    cluster, password = create_cluster(server_under_test(), home, SETTINGS)
    running = start_on_free_port(cluster)
    return {
        "programs": str(running.programs), "data": str(running.data), "port": str(running.port),
        "conninfo": superuser_conninfo(running, password),
    }  # fmt: skip


def mortal_server(values: Mapping[str, str]) -> MortalServer:
    cluster = Cluster(Path(values["programs"]), Path(values["data"]), int(values["port"]))
    return MortalServer(cluster, values["conninfo"])


@contextmanager
def own_server(home: Path, settings: Mapping[str, str]) -> Iterator[MortalServer]:
    """A server for one test."""
    home.chmod(0o755)
    cluster, password = create_cluster(server_under_test(), home, SETTINGS | dict(settings))
    running = start_on_free_port(cluster)
    try:
        yield MortalServer(running, superuser_conninfo(running, password))
    finally:
        running.stop(gently=False)
