"""A server of the tests' own that they may kill."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from aperture_db.postgres.embedded import Cluster
from tests.faults.disks import SmallDisk
from tests.servers.account import give_to_server_account, run_as_server_account
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
    log_disk: SmallDisk | None = None
    """Where the write-ahead log is, if it has a disk of its own."""

    def of(self, database: str) -> str:
        return make_conninfo(self.conninfo, dbname=database)

    def kill_9(self) -> None:
        """Kill the postmaster; its processes notice by themselves. Waits until all are gone."""
        self._end(lambda postmaster: os.kill(postmaster, signal.SIGKILL))

    def stop_immediately(self) -> None:
        """What `docker kill` and an impatient shutdown do: no checkpoint, clients are told."""
        self._end(lambda postmaster: os.kill(postmaster, signal.SIGQUIT))

    @contextmanager
    def log_on(self, disk: SmallDisk) -> Iterator[MortalServer]:
        """The same server with its write-ahead log on a disk of which half is taken."""
        log, place = self.cluster.data / "pg_wal", disk.path / "pg_wal"
        self._move_log(log, place)
        disk.fill(left_bytes=shutil.disk_usage(disk.path).total // 2)
        log.symlink_to(place)
        self.start()
        try:
            yield replace(self, log_disk=disk)
        finally:
            self.cluster.stop()
            log.unlink()
            self._move_log(place, log)
            self.start()

    def _move_log(self, source: Path, destination: Path) -> None:
        """Stop the server and take what it needs: the segment with the last checkpoint."""
        if self.cluster.is_running():
            self.cluster.stop()
        program = self.cluster.programs / "pg_controldata"
        said = run_as_server_account([program, self.cluster.data], self.cluster.programs).stdout
        found = re.search(r"REDO WAL file: *(\w+)", said)
        assert found, said
        destination.mkdir(mode=0o700)
        shutil.copy(source / found[1], destination)
        (destination / "archive_status").mkdir()
        for path in (destination, *destination.iterdir()):
            give_to_server_account(path)
        shutil.rmtree(source)

    def fill_log(self) -> None:
        """Write until the disk of the log is full: the server panics and cannot recover. Then
        the disk has room again."""
        assert self.log_disk
        postmaster, *_ = self._processes()
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(self.conninfo, autocommit=True) as admin,
        ):
            while True:
                admin.execute("SELECT pg_logical_emit_message(true, 'x', repeat('x', 10000000))")
        wait_until(lambda: not is_alive(postmaster), "the server has given up", 60)
        self.log_disk.empty()

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
        gone = self._processes()
        assert callable(end)
        end(gone[0])
        wait_until(lambda: not any(map(is_alive, gone)), "the server's processes are gone", 60)

    def _processes(self) -> list[int]:
        """The postmaster, and its children at this moment."""
        postmaster = int((self.cluster.data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]


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
