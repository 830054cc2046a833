"""The program as its users run it: as a process with an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

COMMAND = (sys.executable, "-m", "aperture_db")
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Outcome:
    """What a finished run left: its exit code and its two streams."""

    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """The JSON object of a run with --json."""
        envelope: dict[str, Any] = json.loads(self.out)
        return envelope


def environment(conninfo: str | None = None, **variables: str) -> dict[str, str]:
    """A bare environment: no PG* variables, no colours, no database but `conninfo`."""
    bare = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    if conninfo is not None:
        bare["DATABASE_URL"] = conninfo
    return bare | variables


def run_cli(
    *arguments: str, conninfo: str | None = None, stdin: str | None = None, **variables: str
) -> Outcome:
    """Run `aperture-db ARGUMENTS` to its end, without a terminal."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=environment(conninfo, **variables),
        cwd="/",
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def start_cli(
    *arguments: str, conninfo: str | None = None, **variables: str
) -> subprocess.Popen[str]:
    """Start `aperture-db ARGUMENTS` and return at once; the caller waits for it or kills it."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(conninfo, **variables),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Outcome:
    """Wait for a started run and collect what it left."""
    out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    return Outcome(process.returncode, out, err)
