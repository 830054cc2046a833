"""`backup` and `restore` against pg_dump and pg_restore, at two sizes of the sample library.

    python -m bench.backup [MOVIES ...]

Wall clock, processor time and memory are of the client's processes together; the server's work
shows in the wall clock only. The tool reads its dump back and counts, which the plain programs
don't.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from aperture_db.postgres.session import open_session
from aperture_db.sample import DEMO_SIZE, SampleSize, fill
from bench.harness import Cost, Server, run, running_server

PHRASE = "yes I am sure"


def tool(conninfo: str, *arguments: str) -> Cost:
    command = [sys.executable, "-m", "aperture_db", *arguments, "-q"]
    return run(command, {"DATABASE_URL": conninfo})


def plain(server: Server, conninfo: str, program: str, *arguments: str) -> Cost:
    parts = conninfo_to_dict(conninfo)
    variables = {f"PG{name.upper()}": str(parts[name]) for name in ("host", "port", "user")}
    variables |= {"PGPASSWORD": str(parts["password"]), "PGDATABASE": str(parts["dbname"])}
    return run([str(server.programs / program), *arguments], variables)


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
        print(
            f"  {label:12} {cost.wall_seconds:7.1f} s wall {cost.cpu_seconds:7.1f} s CPU "
            f"{cost.memory_bytes >> 20:6} MB"
        )


def main(*movies: int) -> None:
    with running_server() as server:
        for count in movies or (DEMO_SIZE.movies, 4_000):
            compare(server, SampleSize(movies=count, series=DEMO_SIZE.series))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
