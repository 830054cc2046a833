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
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from aperture_db.postgres.embedded import BIND_ADDRESS, Cluster, free_port, server_programs


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


def run(command: Sequence[str], environment: Mapping[str, str], stdin: str | None = None) -> float:
    """Run a process to its end and return its seconds on the wall clock. It must exit with 0."""
    started = time.perf_counter()
    done = subprocess.run(
        command, env=os.environ | environment, input=stdin, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} exited with {done.returncode}: {done.stderr}")
    return seconds


@dataclass(frozen=True)
class Times:
    """What the runs of one candidate took, in the order of the rounds."""

    seconds: tuple[float, ...]

    @property
    def median_seconds(self) -> float:
        return statistics.median(self.seconds)

    def ratio_to(self, other: Times) -> float:
        """The median of the ratios of runs of the same round."""
        return statistics.median(
            ours / theirs for ours, theirs in zip(self.seconds, other.seconds, strict=True)
        )


def time_in_turns(candidates: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Times]:
    """Let each candidate, which returns its seconds, run once a round."""
    taken = [[candidate() for candidate in candidates.values()] for _ in range(rounds)]
    columns = zip(*taken, strict=True)
    return {name: Times(column) for name, column in zip(candidates, columns, strict=True)}
