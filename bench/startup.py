"""How long small commands take as whole processes, and which share of it is imports.

    python -m bench.startup [ROUNDS]

The floor is a Python process that does nothing. The import share comes from `-X importtime`, which
slows imports down a little, so it is an upper bound.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys

from aperture_db.postgres.session import open_session
from aperture_db.sample import DEMO_SIZE, fill
from bench.harness import Server, run, running_server

MODULE = ("-m", "aperture_db")
COMMANDS = {
    "--version": ["--version"],
    "migrate, nothing to do": ["migrate"],
    "stats, of the sample": ["stats"],
}


def import_seconds(arguments: list[str], environment: dict[str, str]) -> float:
    """The sum of the imports' own times in one run."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *MODULE, *arguments],
        env=os.environ | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    own_times = re.findall(r"^import time:\s+(\d+) \|", done.stderr, re.MULTILINE)
    return sum(int(microseconds) for microseconds in own_times) / 1e6


def fill_with_sample(conninfo: str) -> None:
    """The library that the demo has."""
    with open_session(conninfo) as conn:
        for _ in fill(conn, DEMO_SIZE):
            pass
        conn.execute_alone("VACUUM ANALYZE")


def measure(server: Server, rounds: int) -> None:
    with server.new_database() as conninfo:
        environment = {"DATABASE_URL": conninfo}
        run([sys.executable, *MODULE, "migrate", "-q"], environment)
        fill_with_sample(conninfo)
        bare = statistics.median(run([sys.executable, "-c", ""], {}) for _ in range(rounds))
        print(f"{'python, nothing':<24} {bare * 1000:6.0f} ms")
        for label, arguments in COMMANDS.items():
            seconds = statistics.median(
                run([sys.executable, *MODULE, *arguments], environment) for _ in range(rounds)
            )
            imports = import_seconds(arguments, environment)
            print(
                f"{label:<24} {seconds * 1000:6.0f} ms   imports {imports * 1000:4.0f} ms "
                f"({imports / seconds:.0%})   {seconds / bare:.1f} x the floor"
            )


def main(rounds: int = 7) -> None:
    with running_server() as server:
        measure(server, rounds)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
