"""Rows for Aperture's tables, and a server that takes its time."""

from __future__ import annotations

from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from tests.waiting import FLUSH_STATISTICS, wait_until

MOVIES = """
    INSERT INTO movies (provider_item_id, title)
    SELECT i::text, 'Film ' || i FROM generate_series(1, %s) AS i
"""
EMBEDDINGS = """
    INSERT INTO embeddings_256 (movie_id, model, embedding)
    SELECT
        id, 'test:model' || m,
        ARRAY(
            SELECT sin(provider_item_id::int * j + m)::real FROM generate_series(1, 256) AS j
        )::halfvec(256)
    FROM movies, generate_series(1, %s) AS m
"""
# VACUUM sleeps 10 ms for every page it reads: even small tables take seconds.
SLOW = "-c vacuum_cost_delay=10ms -c vacuum_cost_limit=1"


def fill_movies(conn: Connection[TupleRow], count: int) -> None:
    conn.execute(MOVIES, [count])
    settle(conn, "movies")


def fill_embeddings(conn: Connection[TupleRow], models: int = 1) -> None:
    """Every film, by so many models; the HNSW index of the table is filled row by row."""
    conn.execute(EMBEDDINGS, [models])
    settle(conn, "embeddings_256")


def settle(conn: Connection[TupleRow], table: str) -> None:
    """Make the server's statistics of the table exact. Those of the session itself have to come
    first: they would be added to what VACUUM counts."""
    conn.execute(FLUSH_STATISTICS)
    conn.execute("SELECT")
    conn.execute(f"VACUUM ANALYZE {table}")


def delete_quarter(conn: Connection[TupleRow], remainder: int) -> None:
    """Delete every fourth film, and wait until the statistics know: a session hands them on
    when it has answered already."""
    before = _dead_rows(conn)
    deleted = conn.execute(
        "DELETE FROM movies WHERE provider_item_id::int %% 4 = %s", [remainder]
    ).rowcount
    conn.execute(FLUSH_STATISTICS)
    wait_until(lambda: _dead_rows(conn) == before + deleted, "the statistics know the dead rows")


def _dead_rows(conn: Connection[TupleRow]) -> int:
    row = conn.execute("SELECT pg_stat_get_dead_tuples('movies'::regclass)").fetchone()
    assert row is not None
    return int(row[0])


def slowed(conninfo: str) -> str:
    """The same database, in sessions whose VACUUM is slow."""
    return make_conninfo(conninfo, options=SLOW)
