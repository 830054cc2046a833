"""One set of servers per test run: started on first use, shared by all workers of pytest-xdist,
stopped by the process that controls them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.waiting import wait_until

MEMORY = Path("/dev/shm")
# A whole run has taken less than half of it there.
MEMORY_BYTES = 8 << 30


def memory_directory() -> Path | None:
    """A file system in memory with room for the servers of a run, where a database is copied in a
    fifth of the time. None where there is none."""
    with suppress(OSError, AttributeError):
        status = os.statvfs(MEMORY)
        free_bytes = min(status.f_bavail * status.f_frsize, _available_bytes())
        may_run = not status.f_flag & os.ST_NOEXEC and os.access(MEMORY, os.W_OK)
        if may_run and free_bytes >= MEMORY_BYTES:
            return MEMORY
    return None


def _available_bytes() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))


class SharedServers:
    """The run's directory, with a data directory and a `*.pid` file for every running server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def create(cls) -> SharedServers:
        directory = Path(tempfile.mkdtemp(prefix="aperture-db-tests-", dir=memory_directory()))
        # Servers that root started run under another account, which has to get in here.
        directory.chmod(0o755)
        return cls(directory)

    def get(self, name: str, start: Callable[[Path], dict[str, str]]) -> dict[str, str]:
        """What `start` returned for `name`: it runs once, in the first process that asks.

        It gets a directory of its own to work in.
        """
        answer = self.directory / f"{name}.json"
        with self.exclusive(name):
            if not answer.exists():
                home = self.directory / name
                home.mkdir()
                try:
                    values = start(home)
                except BaseException:
                    # A test that is skipped for lack of the server: so will be others.
                    stop_servers(home)
                    shutil.rmtree(home)
                    raise
                answer.write_text(json.dumps(values))
        answered: dict[str, str] = json.loads(answer.read_text())
        return answered

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Keep other processes of the run out of the block with the same name."""
        with (self.directory / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def stop_all(self) -> None:
        """Stop every server, and remove the directory."""
        stop_servers(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)


def stop_servers(directory: Path) -> None:
    """Stop every server that works below the directory, also one that is only starting up."""
    while pids := _server_pids(directory):
        for pid in pids:
            with suppress(ProcessLookupError):
                # The immediate shutdown of PostgreSQL and of newer PgBouncers. An older one heeds
                # only SIGTERM where the run has SIGQUIT ignored, as shells start background jobs.
                os.kill(pid, signal.SIGQUIT)
                os.kill(pid, signal.SIGTERM)
        for pid in pids:
            wait_until(lambda pid=pid: not _is_running(pid), f"server process {pid} has ended")  # type: ignore[misc]


def _server_pids(directory: Path) -> set[int]:
    """Processes with the directory in their command line, or where the system doesn't tell those,
    with a pid file below the directory."""
    if not Path("/proc/self/cmdline").exists():
        pids = {int(file.read_text().split()[0]) for file in directory.rglob("*.pid")}
        return {pid for pid in pids if _is_running(pid)}
    pids = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.fsencode(directory) in (process / "cmdline").read_bytes():
                pids.add(int(process.name))
    return {pid for pid in pids - {os.getpid()} if _is_running(pid)}


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(OSError):
        # A dead process that nobody collected; not every container has an init that does.
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return True
