"""One command that is stopped at points of its work, and what is then the case.

A point is a message that the command sends to the server: either it is held back, or the server
gets it and its answer is held back. So the points lie at the same places in every run, however busy
the machine is. All runs wait at their points before the fault comes, each in a database of its
own, so that one restart of the server is a test of all of them.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict

from aperture_db.aperture.structure import Structure
from tests.cli import Outcome, finish
from tests.dump_files import TABLES, start_program
from tests.faults.server import MortalServer
from tests.migrations.structure import read_structure
from tests.proxy import Gate, Proxy, proxied
from tests.waiting import wait_until

GONE_SECONDS = 120.0
OURS = "application_name = 'aperture-db' AND datname = %s"
# What threads of the tool ask for again and again; how often depends on the time.
POLLS = re.compile(rb"pg_stat_activity|pg_stat_progress|pg_blocking_pids|pg_stat_get_progress")


class Fault(StrEnum):
    """What ends."""

    TOOL = "kill -9 of the tool"
    TERMINATED = "pg_terminate_backend"
    BACKEND = "kill -9 of the server process"
    POSTMASTER = "kill -9 of the postmaster"
    SHUTDOWN = "immediate shutdown"
    LOG = "full disk of the write-ahead log"


@dataclass
class PointGate(Gate):
    """Counts what a command does, and not how long it waits."""

    def admits(self, message: bytes) -> bool:
        return True if POLLS.search(message) else super().admits(message)


@dataclass(frozen=True)
class Contents:
    """What is in a database: numbers of rows, the structure of Aperture, and all other names."""

    counts: dict[str, int]
    structure: Structure
    others: frozenset[str]


OTHERS = """
    SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
    UNION ALL
    SELECT 'relation ' || c.oid::regclass FROM pg_class AS c
    WHERE relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
    UNION ALL
    SELECT 'function ' || oid::regprocedure FROM pg_proc
    WHERE pronamespace::regnamespace::text !~ '^(pg_|information_schema)'
"""


def read_contents(conninfo: str) -> Contents:
    with psycopg.connect(conninfo) as conn:
        tables = [f"{schema}.{name}" for schema, name in conn.execute(TABLES)]
        each = (f"SELECT '{table}', count(*) FROM {table}" for table in tables)
        counts: dict[str, int] = dict(conn.execute(" UNION ALL ".join(each).encode()).fetchall())
        others = frozenset(row[0] for row in conn.execute(OTHERS))
        return Contents(counts, read_structure(conn), others)


@dataclass(frozen=True)
class Place:
    """Where a command works."""

    conninfo: str
    directory: Path


Arguments: TypeAlias = Callable[[Path], tuple[str, ...]]


@dataclass(frozen=True)
class Work:
    """A command, and where in its messages it does something."""

    arguments: Arguments
    """Of its directory."""
    begins: bytes
    """In the first message that counts."""
    follows: bytes = b"BEGIN ISOLATION"
    """In the message that follows the decisive COMMIT; empty where there is none."""

    def commits(self, texts: list[bytes]) -> int | None:
        """The number of the decisive COMMIT."""
        if not self.follows:
            return None
        begin = self.first(texts)
        after = next(n for n, text in enumerate(texts) if n > begin and self.follows in text)
        return max(n for n, text in enumerate(texts[:after]) if b"COMMIT" in text)

    def first(self, texts: list[bytes]) -> int:
        return next(number for number, text in enumerate(texts) if self.begins in text)


@dataclass
class Trial:
    """A run that waits at its point."""

    point: int
    number: int
    """Of the message."""
    place: Place
    proxy: Proxy
    gate: PointGate
    process: subprocess.Popen[str]
    outcome: Outcome = field(init=False)

    @property
    def database(self) -> str:
        return str(conninfo_to_dict(self.place.conninfo)["dbname"])

    @property
    def port(self) -> str:
        return str(conninfo_to_dict(self.proxy.conninfo)["port"])

    def children(self) -> list[int]:
        """Processes of the tool that work on its connection: pg_dump and the like."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"PGPORT={self.port}\0".encode() in (process / "environ").read_bytes():
                    found.append(int(process.name))
        return found


def record(work: Work, place: Place) -> list[bytes]:
    """What the command sends when nothing disturbs it."""
    gate = PointGate()
    with proxied(place.conninfo, gate) as proxy:
        done = finish(start(work, place, proxy.conninfo))
    assert done.code == 0, done.err
    return gate.texts


def start(work: Work, place: Place, conninfo: str) -> subprocess.Popen[str]:
    temporary = place.directory / "tmp"
    temporary.mkdir(exist_ok=True)
    return start_program(*work.arguments(place.directory), conninfo=conninfo, TMPDIR=str(temporary))


def points_of(work: Work, texts: list[bytes], count: int) -> list[int]:
    """Evenly from the first message of the work to the last one; the one that is nearest to the
    decisive COMMIT is exactly there."""
    first, last = work.first(texts), len(texts) - 1
    points = [first + (last - first) * point // (count - 1) for point in range(count)]
    if (commit := work.commits(texts)) is not None:
        points[min(range(count), key=lambda point: abs(points[point] - commit))] = commit
    return points


@contextmanager
def stopped(work: Work, texts: list[bytes], places: list[Place]) -> Iterator[list[Trial]]:
    """A run for each point, all of them waiting there."""
    with ExitStack() as stack:
        trials = []
        commit = work.commits(texts)
        numbers = points_of(work, texts, len(places))
        for point, (number, place) in enumerate(zip(numbers, places, strict=True)):
            # The answer to the decisive COMMIT is lost; the COMMIT itself may be lost elsewhere.
            gate = PointGate(held_number=number, passes_held=point % 2 == 1 or number == commit)
            proxy = stack.enter_context(proxied(place.conninfo, gate))
            process = start(work, place, proxy.conninfo)
            stack.callback(end, process)
            trials.append(Trial(point, number, place, proxy, gate, process))
        for trial in trials:
            wait_until(
                lambda trial=trial: trial.gate.reached.is_set() or trial.process.poll() is not None,  # type: ignore[misc]
                f"point {trial.point} is reached", 120,
            )  # fmt: skip
            assert trial.gate.reached.is_set(), finish(trial.process).err
        yield trials


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.communicate()


def strike(fault: Fault, server: MortalServer, trials: list[Trial]) -> None:
    """Let the fault happen to all, and collect what the tools say; those that live on may ask the
    server again."""
    if fault is Fault.TOOL:
        for trial in trials:
            trial.process.kill()
    elif fault is Fault.TERMINATED:
        with psycopg.connect(server.conninfo, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE application_name = 'aperture-db' AND datname = ANY (%s)",
                [[trial.database for trial in trials]],
            )
    elif fault is Fault.BACKEND:
        with psycopg.connect(server.conninfo, autocommit=True) as admin:
            pids = [
                pid
                for trial in trials
                for (pid,) in admin.execute(
                    f"SELECT pid FROM pg_stat_activity WHERE {OURS}".encode(), [trial.database]
                )
            ]
            for pid in pids:
                # The postmaster ends the others as soon as it has noticed the first.
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            wait_until(lambda: is_lost(admin), "the server ends all its processes")
        server.wait_until_ready()
    elif fault is Fault.LOG:
        server.fill_log()
        server.start()
    else:
        server.kill_9() if fault is Fault.POSTMASTER else server.stop_immediately()
        server.start()
    for trial in trials:
        trial.outcome = finish(trial.process)


def is_lost(conn: psycopg.Connection[Any]) -> bool:
    try:
        conn.execute("SELECT")
    except psycopg.OperationalError:
        return True
    return False


def require_nothing_left(server: MortalServer, trials: list[Trial]) -> None:
    """No session, no lock and no child."""
    databases = [trial.database for trial in trials]
    with psycopg.connect(server.conninfo, autocommit=True) as admin:

        def left() -> object:
            sessions = admin.execute(
                "SELECT datname, query FROM pg_stat_activity WHERE application_name = 'aperture-db'"
                " AND datname = ANY (%s)", [databases]
            ).fetchall()  # fmt: skip
            locks = admin.execute(
                "SELECT datname, relation, mode, pid FROM pg_locks AS l JOIN pg_database AS d "
                "ON d.oid = l.database WHERE datname = ANY (%s)", [databases]
            ).fetchall()  # fmt: skip
            return sessions or locks or [each for trial in trials for each in trial.children()]

        wait_until(lambda: not left(), "no session, lock or child is left", GONE_SECONDS)
        assert admin.execute("SELECT count(*) FROM pg_prepared_xacts").fetchone() == (0,)
    for trial in trials:
        assert "Traceback" not in trial.outcome.err
        assert "failed unexpectedly" not in trial.outcome.err
