"""Runs the command line inside the test's own process."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import Any

from aperture_db.cli.app import run_program


@dataclass(frozen=True)
class Outcome:
    """What one run of the program left behind."""

    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """The one JSON object of a run with --json."""
        envelope: dict[str, Any] = json.loads(self.out)
        return envelope

    @property
    def data(self) -> Any:
        return self.envelope["data"]


def run_cli(command: str, *arguments: str, database: str = "") -> Outcome:
    """Run `aperture-db command arguments…`, off a terminal. `database` is its connection string."""
    out, err = io.StringIO(), io.StringIO()
    target = ["--database-url", database] if database else []
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_program([command, *arguments, *target])
    return Outcome(code, out.getvalue(), err.getvalue())
