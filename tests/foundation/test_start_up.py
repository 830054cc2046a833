"""Modules that no start of the program may load: they cost more than the work of a command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from aperture_db.cli.app import COMMANDS
from tests.cli import environment

HEAVY = ("pydantic", "pydantic_core", "markdown_it", "pygments")
PROBE = """
import sys
from aperture_db.cli.app import run_program
run_program(sys.argv[1:])
print(sorted({name.partition(".")[0] for name in sys.modules} & set(HEAVY)))
"""


def heavy_modules_of(*arguments: str, **variables: str) -> str:
    """The heavy modules that one run of the program has loaded."""
    probe = PROBE.replace("HEAVY", repr(HEAVY))
    done = subprocess.run(
        [sys.executable, "-c", probe, *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_loads_no_pydantic(name: str) -> None:
    # Typer's own help imports rich's Markdown, and that the other two.
    assert heavy_modules_of(*name.split(), "--help") == "['markdown_it', 'pygments']"


@pytest.mark.parametrize(
    "arguments", [["stats"], ["health", "-q"], ["migrate"], ["vacuum", "--dry-run"]], ids=" ".join
)
def test_work_loads_nothing_heavy(
    arguments: list[str], aperture_database: Callable[[], str]
) -> None:
    assert heavy_modules_of(*arguments, DATABASE_URL=aperture_database()) == "[]"
