"""What a run of the program loads: no driver for its help, and only the rooms of its command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from aperture_db.cli.app import COMMANDS
from tests.cli import environment
from tests.foundation.test_layers import FLOORS, floor_of

ROOMS = FLOORS[floor_of("stats")]
# Runs a command and prints the modules that were executed, not only registered for later.
PROBE = """
import sys
from aperture_db.cli.app import run_program
run_program({arguments!r})
print(*(
    name for name, module in sys.modules.items()
    if object.__getattribute__(module, "__class__").__name__ != "_LazyModule"
))
"""


def loaded_by(arguments: list[str], conninfo: str | None = None) -> set[str]:
    """The modules that a run of the program has executed."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(arguments=arguments)],
        env=environment(conninfo),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)]
)
def test_help_and_version_load_no_driver_and_at_most_one_room(arguments: list[str]) -> None:
    loaded = loaded_by(arguments)
    drivers = {"psycopg", "pgvector", "numpy", "dotenv"}
    assert {name.partition(".")[0] for name in loaded} & drivers == set()
    assert len(rooms_in(loaded)) <= 1


@pytest.mark.parametrize(
    ("arguments", "rooms"),
    [
        (["migrate"], {"extensions", "migrations"}),
        (["stats"], {"relink", "stats"}),
        (["health", "-q"], {"clean", "extensions", "health", "migrations", "relink", "stats"}),
    ],
)
def test_a_command_loads_only_the_rooms_that_it_uses(
    arguments: list[str], rooms: set[str], aperture_database: Callable[[], str]
) -> None:
    assert rooms_in(loaded_by(arguments, aperture_database())) <= rooms


def rooms_in(modules: set[str]) -> set[str]:
    """The rooms of modules, without packages that only hold others."""
    return {name.split(".")[1] for name in modules if name.count(".") > 1} & ROOMS
