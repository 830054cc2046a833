"""`migrate` on an empty database against one psql session that runs the same files.

    python -m bench.migrate [ROUNDS]

The floor is a single psql: every file in its own transaction, with its record, and nothing else.
The promise is a ratio of at most 2.0.
"""

from __future__ import annotations

import sys

from aperture_db.migrations.directory import read_directory
from bench.harness import Server, compare, run, running_server

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


def time_psql(server: Server, script: str) -> float:
    psql = [str(server.programs / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", "-"]
    with server.new_database() as conninfo:
        return run([*psql, "-d", conninfo], {}, stdin=script)


def time_migrate(server: Server) -> float:
    with server.new_database() as conninfo:
        return run(
            [sys.executable, "-m", "aperture_db", "migrate", "-q"], {"DATABASE_URL": conninfo}
        )


def main(rounds: int = 7) -> None:
    script = psql_script()
    with running_server() as server:
        ours, floor, ratio = compare(
            lambda: time_migrate(server), lambda: time_psql(server, script), rounds
        )
    print(f"migrate, 114 files, empty database: {ours:.3f} s")
    print(f"psql, one session, the same files:  {floor:.3f} s")
    print(f"ratio: {ratio:.2f} (promised: at most 2.0)")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
