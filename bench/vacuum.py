"""`vacuum` against vacuumdb with as many connections, and `--reindex-hnsw` against plain `vacuum`.

    python -m bench.vacuum [ROWS [ROUNDS]]

The first part has a quarter of the rows dead in three tables, at two sizes. A third program, the
bare statements with psycopg, shows what the start of Python takes of the smaller one. The second
part has one table of ROWS vectors with an HNSW index, of which a quarter is dead, and the promise
that rebuilding is faster. Every run starts from a copy of the same database.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bench.harness import Cost, Server, print_row, run, run_in_turns, running_server

DIMENSIONS = 768
# Enough for the graph, so that the build of the template does not become the benchmark.
SETTINGS = {"maintenance_work_mem": "512MB", "shared_buffers": "512MB", "autovacuum": "off"}
ROW_COUNTS = (400_000, 1_600_000)
PLOT, NUMBERS = "repeat('plot ', 20)", "generate_series(1, {rows}) AS i"
TABLES = ("movies", "series", "episodes")
LIBRARY = [
    statement
    for table in TABLES
    for statement in (
        f"CREATE TABLE {table} (id int PRIMARY KEY, title text, year int, overview text)",
        f"INSERT INTO {table} SELECT i, 'title ' || i, i % 100, {PLOT} FROM {NUMBERS}",
        f"CREATE INDEX ON {table} (title)",
        f"CREATE INDEX ON {table} (year)",
        f"VACUUM ANALYZE {table}",
        f"DELETE FROM {table} WHERE id % 4 = 0",
    )
]
VECTORS = (
    "CREATE EXTENSION vector",
    f"CREATE TABLE embeddings (id int PRIMARY KEY, embedding halfvec({DIMENSIONS}) NOT NULL)",
    f"""
    INSERT INTO embeddings
    SELECT i, ARRAY(
        SELECT (random() + 0 * i)::real FROM generate_series(1, {DIMENSIONS})
    )::halfvec({DIMENSIONS})
    FROM generate_series(1, {{rows}}) AS i
    """,
    "CREATE INDEX embeddings_hnsw ON embeddings USING hnsw (embedding halfvec_cosine_ops)",
    "VACUUM (ANALYZE) embeddings",
    "DELETE FROM embeddings WHERE id % 4 = 0",
)


# What any program in Python takes for the work itself: bare connections and statements.
SCRIPT = """
import os, psycopg, sys
from concurrent.futures import ThreadPoolExecutor
tables = sys.argv[2:]
def work():
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as conn:
        while tables:
            conn.execute(f"VACUUM (ANALYZE) {tables.pop()}")
with ThreadPoolExecutor(int(sys.argv[1])) as pool:
    for job in [pool.submit(work) for _ in range(int(sys.argv[1]))]:
        job.result()
"""


@contextmanager
def prepared(server: Server, statements: Sequence[str]) -> Iterator[str]:
    """The name of a database that the statements have filled."""
    with server.new_database() as conninfo:
        with psycopg.connect(conninfo, autocommit=True) as conn:
            for statement in statements:
                conn.execute(statement.encode())
            conn.execute("CHECKPOINT")
        yield str(conninfo_to_dict(conninfo)["dbname"])


def sized(statements: Sequence[str], rows: int) -> list[str]:
    return [statement.replace("{rows}", str(rows)) for statement in statements]


def vacuum(server: Server, template: str, *options: str) -> Cost:
    with server.new_database(template) as conninfo:
        command = [sys.executable, "-m", "aperture_db", "vacuum", "-q", *options]
        return run(command, {"DATABASE_URL": conninfo})


def vacuumdb(server: Server, template: str, jobs: int) -> Cost:
    with server.new_database(template) as conninfo:
        command = [str(server.programs / "vacuumdb"), "--analyze", "--quiet", "--jobs", str(jobs)]
        return run([*command, "--dbname", conninfo], {})


def script(server: Server, template: str, jobs: int) -> Cost:
    with server.new_database(template) as conninfo:
        command = [sys.executable, "-c", SCRIPT, str(jobs), *TABLES]
        return run(command, {"DATABASE_URL": conninfo})


def compare_with_vacuumdb(server: Server, rows: int, rounds: int) -> None:
    with prepared(server, sized(LIBRARY, rows)) as template:
        candidates: dict[str, Callable[[], Cost]] = {}
        for jobs in (1, 2):
            candidates[f"vacuum --jobs {jobs}"] = partial(
                vacuum, server, template, "--jobs", str(jobs)
            )
            candidates[f"vacuumdb --analyze --jobs {jobs}"] = partial(
                vacuumdb, server, template, jobs
            )
            candidates[f"psycopg on {jobs} at a time"] = partial(script, server, template, jobs)
        costs = run_in_turns(candidates, rounds)
    names = list(candidates)
    for ours, theirs, bare in zip(names[::3], names[1::3], names[2::3], strict=True):
        work = "{}, a quarter dead in three tables of " + f"{rows:,} rows"
        print_row(work.format(f"`{ours}`"), costs[ours], theirs, costs[theirs], "1.3")
        print_row(work.format(bare), costs[bare], theirs, costs[theirs], "")


def compare_rebuilding(server: Server, rows: int, rounds: int) -> None:
    with prepared(server, sized(VECTORS, rows)) as template:
        table = ("--table", "embeddings")
        rebuilding, plain = "vacuum --reindex-hnsw", "vacuum"
        costs = run_in_turns(
            {
                rebuilding: partial(vacuum, server, template, *table, "--reindex-hnsw"),
                plain: partial(vacuum, server, template, *table),
            },
            rounds,
        )
    work = f"`{rebuilding}`, {rows:,} vectors, a quarter deleted"
    print_row(work, costs[rebuilding], plain, costs[plain], "faster")


def main(rows: int = 6000, rounds: int = 3) -> None:
    with running_server(SETTINGS) as server:
        for row_count in ROW_COUNTS:
            compare_with_vacuumdb(server, row_count, rounds)
        compare_rebuilding(server, rows, rounds)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
