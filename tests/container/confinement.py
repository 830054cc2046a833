"""Runs the program as it finds itself in a locked-down container: every file system read-only,
an account without a name, no home, no terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from aperture_db.postgres.embedded import server_programs
from tests.cli import COMMAND, TIMEOUT_SECONDS, Outcome, environment
from tests.servers.programs import NO_MOUNTS, require

UNKNOWN_UID = 54321
# $1 is a directory that stays writable, then mount points up to --, then the command.
SCRIPT = f"""
set -e
writable=$1
shift
while [ "$1" != -- ]; do mount -o remount,bind,ro "$1"; shift; done
shift
mount -t tmpfs -o uid={UNKNOWN_UID},mode=0700 tmpfs "$writable"
exec setpriv --reuid={UNKNOWN_UID} --regid={UNKNOWN_UID} --clear-groups \
    --inh-caps=-all,+dac_read_search --ambient-caps=+dac_read_search -- "$@"
"""


def run_confined(
    *command: str, writable: Path, conninfo: str | None = None, **variables: str
) -> Outcome:
    """Run a command to its end; `writable` is an empty directory that everybody may enter, and
    the only one to write to.

    What it may read stays unlimited, because the interpreter may live in a home of root.
    """
    variables = {"PATH": f"{server_programs()}:{os.environ['PATH']}"} | variables
    unshare = str(require("unshare", "util-linux"))
    if subprocess.run([unshare, "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"{NO_MOUNTS}, or this is not root")
    confine = [unshare, "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]
    done = subprocess.run(
        [*confine, str(writable), *_mount_points(writable), "--", *command],
        env=environment(conninfo, **variables),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def confined_cli(*arguments: str, writable: Path, conninfo: str | None = None) -> Outcome:
    """Run `aperture-db ARGUMENTS` so."""
    return run_confined(*COMMAND, *arguments, writable=writable, conninfo=conninfo)


def _mount_points(writable: Path) -> Sequence[str]:
    """What a program could think of writing to."""
    places = [Path("/"), Path("/tmp"), Path("/var/tmp"), Path(sys.prefix), Path.cwd(), writable]
    above = [[place, *place.parents] for place in places if place.exists()]
    points = {next(path for path in paths if path.is_mount()) for paths in above}
    return [str(point) for point in sorted(points)]
