"""`backup --verify` of scripts that are made to take memory or time, at two sizes each.

    python -m bench.verify [MEGABYTES ...]

Beside the costs stands the memory beyond that for a script without contents: it must not grow with
the script. Some of the scripts are refused.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.dump_bombs import READABLE, REFUSED, write_bomb

from bench.harness import Cost, run

MEGABYTES = (20, 100)


def cost_of(*arguments: str) -> Cost:
    """The cost of the program, whatever it says about the file."""
    program = [sys.executable, "-m", "aperture_db", *arguments]
    return run(["sh", "-c", '"$@" >/dev/null 2>&1 || true', "sh", *program], {})


def show(label: str, cost: Cost, idle: Cost) -> None:
    more = (cost.memory_bytes - idle.memory_bytes) >> 20
    print(
        f"{label:40} {cost.wall_seconds:6.1f} s wall {cost.cpu_seconds:6.1f} s CPU {more:+5} MB",
        flush=True,
    )


def main(*megabytes: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "dump.sql"
        write_bomb(path, iter(()))
        idle = cost_of("backup", "--verify", str(path), "-q")
        show("nothing", idle, idle)
        for kind, content in (READABLE | REFUSED).items():
            for size in megabytes or MEGABYTES:
                write_bomb(path, content(size << 20))
                cost = cost_of("backup", "--verify", str(path), "-q")
                show(f"{kind}, {size} MB", cost, idle)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
