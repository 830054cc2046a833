"""All comparisons, one after the other: `make bench`, or `python -m bench [NAME ...]`.

Every other module of this package is one, but the harness. Beside what each prints stand the
processor time of its own processes and the largest of them, and a warning where other work was
seen right before or after it: ratios of a busy machine say little.
"""

from __future__ import annotations

import pkgutil
import resource
import subprocess
import sys
import time
from pathlib import Path

SHARED = {"__main__", "harness"}
BUSY_SHARE = 0.15
SAMPLE_SECONDS = 2.0


def main(*names: str) -> None:
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    known = sorted({module.name for module in modules} - SHARED)
    if unknown := set(names) - set(known):
        sys.exit(f"error: {', '.join(sorted(unknown))}: the comparisons are {', '.join(known)}")
    if busy := [name for name in names or known if run(name) > BUSY_SHARE]:
        print(f"\nThe machine was too busy to tell: {', '.join(busy)}. Run them again alone.")


def run(name: str) -> float:
    """Run one comparison; returns the share of the processors that other work took around it."""
    print(f"\n== {name}", flush=True)
    before, cpu_before, started = busy_share(), child_cpu_seconds(), time.monotonic()
    done = subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False)
    if done.returncode != 0:
        sys.exit(f"error: bench.{name} exited with {done.returncode}")
    wall, cpu = time.monotonic() - started, child_cpu_seconds() - cpu_before
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    busy = max(before, busy_share())
    print(
        f"-- {wall:.0f} s; without the server {cpu:.0f} s of processor time, largest process until "
        f"here {peak:.0f} MB; other work took {busy:.0%} of the processors"
    )
    return busy


def child_cpu_seconds() -> float:
    """Processor time of the child processes that have ended, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def busy_share() -> float:
    """The share of the processors in use while this process only waits (Linux)."""
    idle, everything = processor_ticks()
    time.sleep(SAMPLE_SECONDS)
    idle_later, everything_later = processor_ticks()
    return 1 - (idle_later - idle) / (everything_later - everything)


def processor_ticks() -> tuple[int, int]:
    """Idle ticks and all ticks of the machine since it started."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


if __name__ == "__main__":
    main(*sys.argv[1:])
