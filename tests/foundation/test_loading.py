"""A run executes modules of the rooms that it uses, and no other's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from tests.cli import environment
from tests.foundation.test_layers import FLOORS, floor_of

ROOMS = FLOORS[floor_of("stats")]

# A module that was imported lazily and never used stays a _LazyModule: it was not executed. A
# package has run its __init__.py before a module in it is even looked for; that alone is no use.
PROBE = """
import sys
from aperture_db.cli.app import run_program
code = run_program(sys.argv[1:])
loaded = {
    name.split(".")[1]
    for name, module in sys.modules.items()
    if name.startswith("aperture_db.")
    and (name.count(".") > 1 or not hasattr(module, "__path__"))
    and type(module).__name__ != "_LazyModule"
}
print(code, *sorted(loaded | ({"psycopg"} & set(sys.modules))))
"""


def parts_loaded_by(*arguments: str, conninfo: str | None = None) -> set[str]:
    """The parts of the program that one run executed modules of: rooms, `postgres` …; and
    `psycopg`. Health's exit code is the state of the server, which may be any."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        env=environment(conninfo),
        capture_output=True,
        text=True,
        check=True,
    )
    code, *loaded = done.stdout.splitlines()[-1].split()
    assert code in "01" if "health" in arguments else code == "0", done.stdout + done.stderr
    return set(loaded)


def test_help_loads_no_room_and_no_driver() -> None:
    loaded = parts_loaded_by("stats", "--help")
    assert not loaded & (ROOMS | {"aperture", "psycopg", "sql"})


def test_migrate_with_nothing_to_do_loads_what_it_asks(
    aperture_database: Callable[[], str],
) -> None:
    loaded = parts_loaded_by("migrate", conninfo=aperture_database())
    assert loaded & ROOMS == {"migrations", "extensions"}


def test_stats_loads_no_other_room(aperture_database: Callable[[], str]) -> None:
    assert parts_loaded_by("stats", conninfo=aperture_database()) & ROOMS == {"stats"}


def test_health_loads_the_rooms_that_it_composes(aperture_database: Callable[[], str]) -> None:
    loaded = parts_loaded_by("health", "-q", conninfo=aperture_database())
    assert loaded & ROOMS == {"health", "stats", "migrations", "extensions", "clean"}
