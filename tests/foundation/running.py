"""Runs the probe (probe.py) as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli import TIMEOUT_SECONDS, Outcome, environment

PROBE = (sys.executable, "-m", "tests.foundation.probe", "probe")
ROOT = Path(__file__).resolve().parents[2]


def probe_environment(conninfo: str | None = None, **variables: str) -> dict[str, str]:
    return environment(conninfo, PYTHONPATH=str(ROOT), **variables)


def run_probe(*arguments: str, conninfo: str | None = None, **variables: str) -> Outcome:
    """Run it to its end, without a terminal."""
    done = subprocess.run(
        [*PROBE, *arguments],
        env=probe_environment(conninfo, **variables),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def start_probe(
    *arguments: str, conninfo: str | None = None, stdout: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start it and return at once."""
    return subprocess.Popen(
        [*PROBE, *arguments],
        env=probe_environment(conninfo),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )
