"""The program inside the test's own process: faster than tests.cli, with its environment."""

from __future__ import annotations

import contextlib
import io

from aperture_db.cli.app import run_program
from tests.cli import Outcome


def run_inside(command: str, *arguments: str, database: str = "") -> Outcome:
    """Run `aperture-db command arguments…`, off a terminal. `database` is its connection string."""
    out, err = io.StringIO(), io.StringIO()
    target = ["--database-url", database] if database else []
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_program([command, *arguments, *target])
    return Outcome(code, out.getvalue(), err.getvalue())
