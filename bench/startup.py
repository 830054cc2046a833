"""How long small commands take as whole processes, against the least that could do their work.

    python -m bench.startup [ROUNDS]

What talks to the database stands beside a script that connects with psycopg and sends one SELECT,
help beside that of a Typer program of one command. The promises are about processor time.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from aperture_db.postgres.session import open_session
from aperture_db.sample import DEMO_SIZE, fill
from bench.harness import Cost, print_row, run, run_in_turns, running_server

TOOL = (sys.executable, "-m", "aperture_db")
CONNECT, HELLO = "psycopg connect, one SELECT", "typer hello --help"
SELECT = "import os, psycopg; psycopg.connect(os.environ['DATABASE_URL']).execute('SELECT 1')"
HELLO_PROGRAM = """
import typer

app = typer.Typer()


@app.command()
def hello(name: str, formal: bool = False) -> None:
    \"\"\"Say hello.\"\"\"
    print(name, formal)


app()
"""
WORK = (
    ("stats, empty database", "stats", CONNECT, ""),
    ("migrate, nothing to do", "migrate", CONNECT, "2.0"),
    ("health -q", "health -q", CONNECT, "2.5"),
    ("stats of the sample", "stats", CONNECT, ""),
    ("stats --help", "stats --help", HELLO, "1.3"),
    ("--version", "--version", HELLO, ""),
)


def fill_with_sample(conninfo: str) -> None:
    """The library that the demo has."""
    with open_session(conninfo) as conn:
        for _ in fill(conn, DEMO_SIZE):
            pass
        conn.execute_alone("VACUUM ANALYZE")


def main(rounds: int = 7) -> None:
    with (
        running_server() as server,
        server.new_database() as empty,
        server.new_database() as filled,
        tempfile.TemporaryDirectory() as directory,
    ):
        run([*TOOL, "migrate", "-q"], {"DATABASE_URL": filled})
        fill_with_sample(filled)
        hello = Path(directory) / "hello.py"
        hello.write_text(HELLO_PROGRAM, encoding="utf-8")
        candidates: dict[str, Callable[[], Cost]] = {
            CONNECT: partial(run, [sys.executable, "-c", SELECT], {"DATABASE_URL": filled}),
            HELLO: partial(run, [sys.executable, str(hello), "--help"], {}),
        }
        for work, arguments, _, _ in WORK:
            conninfo = empty if work.endswith("empty database") else filled
            command = [*TOOL, *arguments.split()]
            candidates[work] = partial(run, command, {"DATABASE_URL": conninfo})
        run_in_turns(candidates, 1)  # warms caches up
        costs = run_in_turns(candidates, rounds)
    for work, _, floor, promised in WORK:
        print_row(work, costs[work], floor, costs[floor], promised)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
