"""What the comparisons share: a server of their own, and whole processes timed in turns.

Figures are medians of runs that alternate between the candidates, and ratios of runs that followed
each other, because machines drift.
"""

from __future__ import annotations

import os
import secrets
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from aperture_db.postgres.embedded import BIND_ADDRESS, Cluster, free_port, server_programs

SAMPLE_SECONDS = 0.01
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Server:
    """A throwaway server with its default durability, so that COMMIT costs what it costs."""

    conninfo: str
    programs: Path

    @contextmanager
    def new_database(self, template: str = "template1") -> Iterator[str]:
        """A database for the block, by default an empty one."""
        name = f"bench_{secrets.token_hex(4)}"
        with psycopg.connect(self.conninfo, autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
            yield make_conninfo(self.conninfo, dbname=name)
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def running_server(settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Start a server for the length of the block."""
    directory = Path(tempfile.mkdtemp(prefix="aperture-db-bench-"))
    directory.chmod(0o755)
    cluster = Cluster(server_programs(), directory / "data", free_port())
    password = secrets.token_hex(8)
    try:
        cluster.create(password, user="postgres", settings=settings)
        cluster.start()
        conninfo = make_conninfo(
            host=BIND_ADDRESS,
            port=cluster.port,
            user="postgres",
            password=password,
            dbname="postgres",
        )
        yield Server(conninfo, cluster.programs)
    finally:
        if cluster.is_running():
            cluster.stop()
        shutil.rmtree(directory)


@dataclass(frozen=True)
class Cost:
    """What a process took, the children that it waited for included."""

    wall_seconds: float
    cpu_seconds: float
    memory_bytes: int
    """The most that was resident at a time, to within SAMPLE_SECONDS."""


def run(command: Sequence[str], environment: Mapping[str, str], stdin: str | None = None) -> Cost:
    """Run a process to its end; it must exit with 0."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors:
        given.write((stdin or "").encode())
        given.seek(0)
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=os.environ | environment, stdin=given, stdout=subprocess.DEVNULL,
            stderr=errors,
        )  # fmt: skip
        with _watched_memory(process.pid) as peak:
            _, status, usage = os.wait4(process.pid, 0)
            wall_seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            text = errors.read().decode(errors="replace")
            raise SystemExit(f"{command[0]} exited with {process.returncode}: {text}")
    return Cost(wall_seconds, usage.ru_utime + usage.ru_stime, max(peak))


@contextmanager
def _watched_memory(pid: int) -> Iterator[list[int]]:
    """Samples of the memory of a process. The kernel's own maximum starts with that of the process
    that forked."""
    samples, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            samples.append(resident_bytes(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield samples
    finally:
        ended.set()
        watcher.join()


def resident_bytes(pid: int) -> int:
    """The memory of a process and its descendants at this moment."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0
    return pages * PAGE_BYTES + sum(resident_bytes(int(child)) for child in children)


def timed(work: Callable[[], object]) -> Cost:
    """What work in this process took. Its memory is not told: the libraries' makers share it."""
    started, cpu_started = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - started, time.process_time() - cpu_started, 0)


@dataclass(frozen=True)
class Costs:
    """What the runs of one candidate took, in the order of the rounds."""

    runs: tuple[Cost, ...]

    @property
    def wall_seconds(self) -> float:
        return statistics.median(run.wall_seconds for run in self.runs)

    @property
    def cpu_seconds(self) -> float:
        return statistics.median(run.cpu_seconds for run in self.runs)

    @property
    def memory_bytes(self) -> int:
        return max(run.memory_bytes for run in self.runs)

    def wall_ratio(self, other: Costs) -> float:
        """The median of the ratios of runs of the same round."""
        return statistics.median(
            ours.wall_seconds / theirs.wall_seconds
            for ours, theirs in zip(self.runs, other.runs, strict=True)
        )

    def cpu_ratio(self, other: Costs) -> float:
        return statistics.median(
            ours.cpu_seconds / theirs.cpu_seconds
            for ours, theirs in zip(self.runs, other.runs, strict=True)
        )


def run_in_turns(candidates: Mapping[str, Callable[[], Cost]], rounds: int) -> dict[str, Costs]:
    """Let each candidate run once a round: A B A B."""
    taken = [[candidate() for candidate in candidates.values()] for _ in range(rounds)]
    columns = zip(*taken, strict=True)
    return {name: Costs(column) for name, column in zip(candidates, columns, strict=True)}


def print_row(work: str, ours: Costs, against: str, theirs: Costs, promised: str = "") -> None:
    """One row of the table in README.md: ratios of wall and processor time, and the figures."""
    print(
        f"| {work} | {against} | {promised} | {ours.wall_ratio(theirs):.2f} "
        f"| {ours.cpu_ratio(theirs):.2f} | {_figures(ours)} | {_figures(theirs)} |",
        flush=True,
    )


def _figures(costs: Costs) -> str:
    memory = f", {costs.memory_bytes >> 20} MB" if costs.memory_bytes else ""
    return f"{costs.wall_seconds:.2f} s, {costs.cpu_seconds:.2f} s{memory}"
