"""`purge` against row-wise DELETEs in the order in which Aperture's own purge runs them.

    python -m bench.purge [ROUNDS]

Both sides are timed from an open connection to the last answer, on copies of the same library: ours
with its plan, its count under the locks, its verification and the space given back, Aperture's as
its statements alone in one transaction. Two sizes, so that the growth shows. The promise, at the
larger one: `content` in at most a tenth of the time, with the disk space given back; `movies` in at
most half. What keeping user data for relink adds is measured twice: on the transaction alone, and
on the command as people run it, with its backup, of which it may be a tenth.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import psycopg
from psycopg.conninfo import conninfo_to_dict

from aperture_db.migrations.directory import read_directory
from aperture_db.postgres.connection import connect
from aperture_db.postgres.session import open_session
from aperture_db.postgres.settings import resolve_target
from aperture_db.purge import PurgeOptions, PurgeTarget
from aperture_db.purge.execute import PurgeLimits, execute
from aperture_db.purge.plan import make_plan, make_work
from aperture_db.sample import LARGE_SIZE, SampleSize, fill
from bench.harness import Cost, Costs, Server, print_row, run, running_server, timed

DELETES, FILM_DELETES = "DELETEs of all content", "DELETEs of films"
SIZES = (
    SampleSize(
        movies=5_000, series=250, episodes_per_series=60, watch_records=70_000, runs_per_user=20,
        movie_candidates=25, job_days=90,
    ),
    LARGE_SIZE,
)  # fmt: skip
DIMENSIONS = (256, 384, 512, 768, 1024, 1536, 3072, 4096, "legacy")
MOVIE_EMBEDDINGS = [f"embeddings_{each}" for each in DIMENSIONS]
SERIES_EMBEDDINGS = [f"series_embeddings_{each}" for each in DIMENSIONS]
EPISODE_EMBEDDINGS = [f"episode_embeddings_{each}" for each in DIMENSIONS]

# Children before what they refer to; preferences and chats go whole. One DELETE per table.
ALL_CONTENT = [
    "recommendation_evidence",
    "recommendation_candidates",
    "recommendation_runs",
    "user_ratings",
    "watch_history",
    "user_preferences",
    "assistant_messages",
    "assistant_conversations",
    *EPISODE_EMBEDDINGS,
    *SERIES_EMBEDDINGS,
    *MOVIE_EMBEDDINGS,
    "episodes",
    "series",
    "movies",
]
# Aperture has no purge of films alone; this is the same order with conditions.
FILMS = [
    "recommendation_evidence WHERE similar_movie_id IS NOT NULL",
    "recommendation_candidates WHERE movie_id IS NOT NULL",
    "recommendation_runs WHERE media_type = 'movie'",
    "user_ratings WHERE movie_id IS NOT NULL",
    "watch_history WHERE media_type = 'movie'",
    *MOVIE_EMBEDDINGS,
    "movies",
]


@dataclass(frozen=True)
class Timing:
    cost: Cost
    size_after_bytes: int


def time_deletes(tables: list[str], conninfo: str) -> Timing:
    with psycopg.connect(conninfo, autocommit=True) as conn:

        def delete() -> None:
            with conn.transaction():
                for table in tables:
                    conn.execute(f"DELETE FROM {table}")

        return Timing(timed(delete), size_of(conn))


def time_purge(what: PurgeTarget, options: PurgeOptions, conninfo: str) -> Timing:
    target = resolve_target(conninfo, None)
    with connect(target) as conn:

        def purge() -> None:
            plan = make_plan(conn, what, options, 10)
            for _ in execute(conn, target, plan, make_work(plan), PurgeLimits(10)):
                pass

        return Timing(timed(purge), size_of(conn))


def time_command(what: PurgeTarget, keep: str, conninfo: str) -> Timing:
    """The whole process, from Python's start to its end."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "aperture_db", "purge", "--what", str(what), keep]
        command += ["--dir", directory, "--confirm", "yes I am sure"]
        cost = run(command, {"DATABASE_URL": conninfo})
    with psycopg.connect(conninfo) as conn:
        return Timing(cost, size_of(conn))


def size_of(conn: psycopg.Connection) -> int:
    row = conn.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def library(server: Server, size: SampleSize) -> Iterator[str]:
    """The name of a database with a library of that size; timed runs get copies of it."""
    with server.new_database() as conninfo:
        with open_session(conninfo) as conn:
            for file in read_directory().files:
                with conn.transaction(), conn.original_search_path():
                    conn.execute(file.text)
            for _ in fill(conn, size, indexes_last=True):
                pass
            conn.execute_alone("VACUUM ANALYZE")
            describe(conn)
        yield str(conninfo_to_dict(conninfo)["dbname"])


def describe(conn: psycopg.Connection) -> None:
    counts = ", ".join(
        f"{conn.execute(f'SELECT count(*) FROM public.{table}').fetchone()[0]:,} {word}"  # type: ignore[index]
        for table, word in (
            ("movies", "films"),
            ("episodes", "episodes"),
            ("watch_history", "watch records"),
            ("recommendation_candidates", "candidates"),
        )
    )
    print(f"\n{counts}: {megabytes(size_of(conn))}")


def megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:,.0f} MB"


def measure(server: Server, template: str, rounds: int) -> None:
    keep, without = PurgeOptions(), PurgeOptions(keep=False)
    candidates: dict[str, Callable[[str], Timing]] = {
        DELETES: partial(time_deletes, ALL_CONTENT),
        FILM_DELETES: partial(time_deletes, FILMS),
        "content": partial(time_purge, PurgeTarget.CONTENT, keep),
        "content --no-keep": partial(time_purge, PurgeTarget.CONTENT, without),
        "movies": partial(time_purge, PurgeTarget.MOVIES, keep),
        "movies --no-keep": partial(time_purge, PurgeTarget.MOVIES, without),
    }
    for what in (PurgeTarget.CONTENT, PurgeTarget.MOVIES):
        for choice in ("--keep", "--no-keep"):
            candidates[f"whole {what} {choice}"] = partial(time_command, what, choice)
    timings: dict[str, list[Timing]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, candidate in candidates.items():
            with server.new_database(template) as conninfo:
                timings[name].append(candidate(conninfo))
    costs = {name: Costs(tuple(each.cost for each in taken)) for name, taken in timings.items()}
    for name, taken in timings.items():
        print(f"  {name}: then {megabytes(taken[0].size_after_bytes)}")
    for name, against, promised in (
        ("content", DELETES, "0.1"),
        ("movies", DELETES, "0.5"),
        ("movies", FILM_DELETES, ""),
        ("content", "content --no-keep", ""),
        ("movies", "movies --no-keep", ""),
        ("whole content --keep", "whole content --no-keep", "1.1"),
        ("whole movies --keep", "whole movies --no-keep", "1.1"),
    ):
        print_row(f"`purge --what {name}`", costs[name], against, costs[against], promised)


def main(rounds: int = 3) -> None:
    with running_server() as server:
        for size in SIZES:
            with library(server, size) as template:
                measure(server, template, rounds)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
