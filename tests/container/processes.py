"""The container's entry point as a process, as an engine starts it."""

from __future__ import annotations

import subprocess
import sys

from tests.cli import Outcome, environment, finish

ENTRYPOINT = (sys.executable, "-m", "aperture_db.cli.entrypoint")


def start_entrypoint(
    *command: str, conninfo: str | None = None, **variables: str
) -> subprocess.Popen[str]:
    """Start it in front of `command`, without a terminal, and return at once."""
    return subprocess.Popen(
        [*ENTRYPOINT, *command],
        env=environment(conninfo, **variables),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_entrypoint(*command: str, conninfo: str | None = None, **variables: str) -> Outcome:
    """The same, to its end."""
    return finish(start_entrypoint(*command, conninfo=conninfo, **variables))


def read_line(process: subprocess.Popen[str], stream: str = "stderr") -> str:
    """The next line of a running process; empty when there will be none."""
    pipe = getattr(process, stream)
    line: str = pipe.readline()
    return line
