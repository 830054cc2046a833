"""`relink --apply` on a library and on one of ten times its size.

    python -m bench.relink

The libraries are made by SQL, without embeddings: films, ratings, and chat messages that each name
five films. The promise: seconds for 20,000 films, 5,000 ratings and 2,000 messages, about ten times
as long for ten times as much. What keeping adds to a purge is in bench.purge.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from aperture_db.aperture.kinds import Media
from aperture_db.migrations.directory import read_directory
from aperture_db.postgres.connection import connect
from aperture_db.postgres.session import open_session
from aperture_db.postgres.settings import resolve_target
from aperture_db.relink.apply import RelinkDone, apply
from aperture_db.relink.keep import keep
from aperture_db.relink.kept import read_library
from aperture_db.relink.plan import make_plan as make_relink_plan
from aperture_db.relink.report import RelinkOptions, RowOrigin
from bench.harness import Server, running_server

FILL = """
INSERT INTO users (provider, provider_user_id, username, is_enabled)
SELECT 'jellyfin', 'u' || n, 'user ' || n, true FROM generate_series(1, 20) AS n;
INSERT INTO movies (provider_item_id, title, year, imdb_id, tmdb_id, path)
SELECT 'item' || n, 'Film ' || n, 1950 + n % 75, 'tt' || lpad(n::text, 8, '0'), n::text,
       '/films/' || n || '.mkv'
FROM generate_series(1, {films}) AS n;
INSERT INTO user_ratings (user_id, movie_id, rating)
SELECT u.id, m.id, 1 + n % 10
FROM (SELECT id, row_number() OVER () AS n FROM movies) AS m
JOIN (SELECT id, row_number() OVER () - 1 AS number FROM users) AS u ON u.number = n % 20
WHERE n <= {ratings};
INSERT INTO assistant_conversations (user_id, title)
SELECT id, 'chat' FROM users, generate_series(1, 5);
INSERT INTO assistant_messages (conversation_id, role, content, tool_invocations)
SELECT c.id, 'assistant', 'How about [this](/movies/' || m.ids[1] || ')?',
       (SELECT jsonb_agg(jsonb_build_object('toolName', 'search', 'result', jsonb_build_object(
            'items', jsonb_build_array(jsonb_build_object(
                'id', each, 'detailsUrl', '/movies/' || each,
                'overview', repeat('A plot of some length. ', 20)
            ))))) FROM unnest(m.ids) AS each)
FROM (
    SELECT array_agg(id) AS ids, (row_number() OVER ()) AS n
    FROM (SELECT id, row_number() OVER () / 5 AS part FROM movies) AS numbered
    GROUP BY part LIMIT {messages}
) AS m
JOIN (SELECT id, row_number() OVER () - 1 AS number FROM assistant_conversations) AS c
    ON c.number = m.n % 100;
VACUUM ANALYZE
"""
RESYNC = """
INSERT INTO movies (provider_item_id, title, year, imdb_id, tmdb_id)
SELECT 'new' || id, title, year, CASE WHEN id % 3 > 0 THEN imdb_id END, tmdb_id
FROM aperture_db.kept_titles ORDER BY random();
ANALYZE movies
"""


@dataclass(frozen=True)
class Library:
    films: int
    ratings: int
    messages: int


SIZES = (Library(20_000, 5_000, 2_000), Library(200_000, 50_000, 20_000))


def statements(text: str) -> Iterator[str]:
    return (each for each in text.split(";\n") if each.strip())


@contextmanager
def resynced(server: Server, size: Library) -> Iterator[str]:
    """A database whose films were kept, deleted and inserted with new ids."""
    with server.new_database() as conninfo:
        with open_session(conninfo) as conn:
            for file in read_directory().files:
                with conn.transaction(), conn.original_search_path():
                    conn.execute(file.text)
        with psycopg.connect(conninfo, autocommit=True) as plain:
            for statement in statements(FILL.format(**vars(size))):
                plain.execute(statement)
            with connect(resolve_target(conninfo, None)) as conn, conn.transaction():
                keep(conn, read_library(conn), [Media.MOVIE], RowOrigin.PURGE)
            plain.execute("TRUNCATE movies CASCADE")
            for statement in statements(RESYNC):
                plain.execute(statement)
        yield conninfo


def measure_relink(server: Server, size: Library) -> float:
    options = RelinkOptions()
    with resynced(server, size) as conninfo, connect(resolve_target(conninfo, None)) as conn:
        started = time.perf_counter()
        with conn.transaction():
            plan, links = make_relink_plan(conn, options)
        planned = time.perf_counter() - started
        for event in apply(conn, links, options):
            outcome = event
        seconds = time.perf_counter() - started
    print(f"  {size}: plan {planned:.2f} s, with apply {seconds:.2f} s; {plan.ready_rows:,} rows")
    assert isinstance(outcome, RelinkDone)
    return seconds


def main() -> None:
    with running_server() as server:
        small, large = (measure_relink(server, size) for size in SIZES)
    print(f"  ten times the library: {large / small:.1f} times as long")


if __name__ == "__main__":
    main()
