"""The command line. Commands parse, call one function and hand its result to one renderer."""

from __future__ import annotations

import sys


def main() -> None:
    """The console script `aperture-db`."""
    from aperture_db.cli.app import run_program

    sys.exit(run_program(sys.argv[1:]))
