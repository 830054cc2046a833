"""`vacuum --reindex-hnsw` against plain `vacuum`, on a table with an HNSW index of which a quarter
of the rows is dead.

    python -m bench.vacuum [ROWS [ROUNDS]]

Every run starts from a copy of the same database. The promise is that rebuilding is faster.
"""

from __future__ import annotations

import sys

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bench.harness import Server, run, running_server, time_in_turns

DIMENSIONS = 768
# Enough for the graph, so that the build of the template does not become the benchmark.
SETTINGS = {"maintenance_work_mem": "512MB", "shared_buffers": "512MB", "autovacuum": "off"}
STATEMENTS = (
    "CREATE EXTENSION vector",
    f"CREATE TABLE embeddings (id int PRIMARY KEY, embedding halfvec({DIMENSIONS}) NOT NULL)",
    f"""
    INSERT INTO embeddings
    SELECT i, ARRAY(
        SELECT (random() + 0 * i)::real FROM generate_series(1, {DIMENSIONS})
    )::halfvec({DIMENSIONS})
    FROM generate_series(1, %(rows)s) AS i
    """,
    "CREATE INDEX embeddings_hnsw ON embeddings USING hnsw (embedding halfvec_cosine_ops)",
    "VACUUM (ANALYZE) embeddings",
    "DELETE FROM embeddings WHERE id %% 4 = 0",
)


def prepare(conninfo: str, rows: int) -> str:
    """Fill the database, delete a quarter, and return its name."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for statement in STATEMENTS:
            conn.execute(statement, {"rows": rows})
    return str(conninfo_to_dict(conninfo)["dbname"])


def time_vacuum(server: Server, template: str, *options: str) -> float:
    command = [sys.executable, "-m", "aperture_db", "vacuum", "-q", "--table", "embeddings"]
    with server.new_database(template) as conninfo:
        return run([*command, *options], {"DATABASE_URL": conninfo})


def main(rows: int = 6000, rounds: int = 1) -> None:
    with running_server(SETTINGS) as server, server.new_database() as conninfo:
        template = prepare(conninfo, rows)
        candidates = {
            "vacuum": lambda: time_vacuum(server, template),
            "vacuum --reindex-hnsw": lambda: time_vacuum(server, template, "--reindex-hnsw"),
        }
        times = time_in_turns(candidates, rounds)
    print(f"{rows} x halfvec({DIMENSIONS}), HNSW, a quarter deleted")
    for name, taken in times.items():
        print(f"  {name:22} {taken.median_seconds:6.1f} s")
    plain, rebuilt = times.values()
    print(f"  rebuilding is {plain.ratio_to(rebuilt):.1f} times as fast (promised: faster)")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
