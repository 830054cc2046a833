"""`backup` and `restore` against pg_dump and pg_restore, at two sizes of the sample library.

    python -m bench.backup [MOVIES ...]

Wall clock, processor time and memory are of the client's processes together; the server's work
shows in the wall clock only. The tool reads its dump back and counts, which the plain programs
don't.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from aperture_db.postgres.session import open_session
from aperture_db.sample import DEMO_SIZE, SampleSize, fill
from bench.harness import Server, running_server

PHRASE = "yes I am sure"
SAMPLE_SECONDS = 0.01
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Cost:
    """What one process took, its children included."""

    wall_seconds: float
    cpu_seconds: float
    memory_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.wall_seconds:7.1f} s wall {self.cpu_seconds:7.1f} s CPU "
            f"{self.memory_bytes >> 20:6} MB"
        )


def resident_bytes(pid: int) -> int:
    """The memory of a process and its descendants at this moment. The kernel's own maximum starts
    with that of the process that forked."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0
    return pages * PAGE_BYTES + sum(resident_bytes(int(child)) for child in children)


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run a process to its end; it must exit with 0."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    memory_bytes = ended = 0
    while not ended:
        memory_bytes = max(memory_bytes, resident_bytes(process.pid))
        time.sleep(SAMPLE_SECONDS)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command[0]} exited with {process.returncode}")
    wall_seconds = time.perf_counter() - started
    return Cost(wall_seconds, usage.ru_utime + usage.ru_stime, memory_bytes)


def tool(conninfo: str, *arguments: str) -> Cost:
    command = [sys.executable, "-m", "aperture_db", *arguments, "-q"]
    return measure(command, {"DATABASE_URL": conninfo})


def plain(server: Server, conninfo: str, program: str, *arguments: str) -> Cost:
    parts = conninfo_to_dict(conninfo)
    variables = {f"PG{name.upper()}": str(parts[name]) for name in ("host", "port", "user")}
    variables |= {"PGPASSWORD": str(parts["password"]), "PGDATABASE": str(parts["dbname"])}
    return measure([str(server.programs / program), *arguments], variables)


def compare(server: Server, size: SampleSize) -> None:
    """Back the same database up in each way, and restore into empty ones."""
    with (
        tempfile.TemporaryDirectory() as directory,
        server.new_database() as source,
        server.new_database() as ours,
        server.new_database() as theirs,
    ):
        tool(source, "migrate")
        with open_session(source) as conn:
            for _ in fill(conn, size, indexes_last=True):
                pass
        file = str(Path(directory) / "plain.dump")
        dumps = {
            "backup": tool(source, "backup", "--dir", directory),
            "pg_dump -Fc": plain(server, source, "pg_dump", "-Fc", "-f", file),
        }
        (made,) = Path(directory).glob("aperture_backup_*.dump")
        restore = ("restore", str(made), "--no-safety-backup", "--confirm", PHRASE)
        name = str(conninfo_to_dict(theirs)["dbname"])
        restores = {
            "restore": tool(ours, *restore),
            "pg_restore": plain(server, theirs, "pg_restore", "-d", name, file),
        }
        sizes = (made.stat().st_size >> 20, Path(file).stat().st_size >> 20)
        print(f"{size.movies:,} films: dump of {sizes[0]} MB, by plain pg_dump {sizes[1]} MB")
    for label, cost in (dumps | restores).items():
        print(f"  {label:12} {cost}")


def main(*movies: int) -> None:
    with running_server() as server:
        for count in movies or (DEMO_SIZE.movies, 4_000):
            compare(server, SampleSize(movies=count, series=DEMO_SIZE.series))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
