"""A home for a demo, apart from the one of whoever runs the tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from aperture_db.postgres.embedded import server_programs
from tests.cli import Outcome, run_cli, start_cli
from tests.waiting import wait_until

VARIABLE = "APERTURE_DB_HOME"


@dataclass(frozen=True)
class Home:
    root: Path

    @property
    def demo(self) -> Path:
        return self.root / "demo"

    @property
    def url_file(self) -> Path:
        return self.demo / "database-url"

    @property
    def pid(self) -> int:
        """Of the server."""
        return int((self.demo / "data" / "postmaster.pid").read_text().split()[0])

    def run(self, *arguments: str, **variables: str) -> Outcome:
        return run_cli("demo", *arguments, **{VARIABLE: str(self.root)} | variables)

    def run_json(self, *arguments: str) -> dict[str, Any]:
        """The data of a run that must succeed."""
        outcome = self.run(*arguments, "--json")
        assert outcome.code == 0, outcome.err
        data: dict[str, Any] = outcome.envelope["data"]
        return data

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A run that goes on by itself."""
        return start_cli("demo", *arguments, **{VARIABLE: str(self.root)})

    def connect(self) -> psycopg.Connection[TupleRow]:
        return psycopg.connect(self.url_file.read_text().strip(), autocommit=True)

    def server_pids(self) -> list[int]:
        """Processes that work on this home, whoever started them."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = (process / "cmdline").read_bytes()
                if str(self.root).encode() in command and b"postgres" in command.split(b"\0")[0]:
                    found.append(int(process.name))
        return found


@contextmanager
def temporary_home(name: str = "home") -> Iterator[Home]:
    """A home that has the programs already; whatever still runs in it is ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="aperture-db-demo-") as parent:
        # The account that root hands the server to has to get in.
        Path(parent).chmod(0o755)
        home = Home(Path(parent) / name)
        home.root.mkdir()
        home.root.chmod(0o755)
        programs = server_programs().parents[1]
        (home.root / programs.name).symlink_to(programs)
        try:
            yield home
        finally:
            end_servers(home)
            shutil.rmtree(home.root, ignore_errors=True)


def end_servers(home: Home) -> None:
    for pid in home.server_pids():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
    wait_until(lambda: not home.server_pids(), f"the servers in {home.root} have ended")
