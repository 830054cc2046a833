"""`migrate` on an empty database against one psql session and against dbmate, the same files.

    python -m bench.migrate [ROUNDS]

The floor is a single psql: every file in its own transaction, with its record, and nothing else.
The promise is a ratio of at most 2.0. dbmate is a peer that does the same job; it is measured where
it is installed (npm install --global dbmate).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from aperture_db.migrations.directory import read_directory
from bench.harness import Cost, Costs, Server, print_row, run, run_in_turns, running_server

CREATE_RECORDS = """
CREATE TABLE IF NOT EXISTS aperture_migrations (
    id serial PRIMARY KEY, name text UNIQUE NOT NULL, applied_at timestamptz DEFAULT now()
);
"""


def psql_script() -> str:
    directory = read_directory()
    return CREATE_RECORDS + "".join(
        f"BEGIN;\n\\i {directory.path / name}\n"
        f"INSERT INTO aperture_migrations (name) VALUES ('{name}');\nCOMMIT;\n"
        for name in directory.names
    )


def run_psql(server: Server, script: str) -> Cost:
    psql = [str(server.programs / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", "-"]
    with server.new_database() as conninfo:
        return run([*psql, "-d", conninfo], {}, stdin=script)


def run_migrate(server: Server) -> Cost:
    with server.new_database() as conninfo:
        return run(
            [sys.executable, "-m", "aperture_db", "migrate", "-q"], {"DATABASE_URL": conninfo}
        )


def write_for_dbmate(directory: Path) -> None:
    """The bundled files, each between the lines that dbmate wants to see."""
    for file in read_directory().files:
        text = f"-- migrate:up\n{file.text}\n-- migrate:down\n"
        (directory / file.name).write_text(text, encoding="utf-8")


def run_dbmate(server: Server, directory: Path) -> Cost:
    with server.new_database() as conninfo:
        part = conninfo_to_dict(conninfo)
        url = "postgres://{user}:{password}@{host}:{port}/{dbname}?sslmode=disable".format(**part)
        dbmate = ["dbmate", "--migrations-dir", str(directory), "--no-dump-schema", "migrate"]
        return run(dbmate, {"DATABASE_URL": url})


def measure(server: Server, rounds: int) -> dict[str, Costs]:
    script = psql_script()
    candidates = {
        "aperture-db migrate": lambda: run_migrate(server),
        "psql, one session": lambda: run_psql(server, script),
    }
    with tempfile.TemporaryDirectory() as name:
        if shutil.which("dbmate"):
            write_for_dbmate(Path(name))
            candidates["dbmate migrate"] = lambda: run_dbmate(server, Path(name))
        run_in_turns(candidates, 1)  # warms caches up
        return run_in_turns(candidates, rounds)


def main(rounds: int = 7) -> None:
    with running_server() as server:
        costs = measure(server, rounds)
    ours, floor, *_ = costs.values()
    work = f"`migrate`, {len(read_directory().files)} files, empty database"
    print_row(work, ours, "psql, one session", floor, "2.0")
    if dbmate := costs.get("dbmate migrate"):
        print_row(work, ours, "dbmate", dbmate)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
