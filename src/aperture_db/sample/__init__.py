"""A believable sample library, for the demo, the tests and the benchmarks.

It is deliberately not quite tidy: four films are too new to have embeddings, some embeddings are
a former model's, a login has expired, some cached verdicts are about films that are gone, and the
job history is never pruned.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pgvector.psycopg import register_vector
from psycopg import sql

from aperture_db import sql as queries
from aperture_db.errors import UsageError
from aperture_db.postgres.connection import build_index
from aperture_db.postgres.session import Connection
from aperture_db.sample.rows import TableRows, background, channels, library, recommendations, users
from aperture_db.sample.rows.background import JOBS, ScheduledJob
from aperture_db.sample.rows.library import SERVER_URL
from aperture_db.sample.world import DEMO_SIZE, LARGE_SIZE, TEST_SIZE, SampleSize, World, make_world

__all__ = [
    "DEMO_SIZE",
    "LARGE_SIZE",
    "TEST_SIZE",
    "SampleSize",
    "TableFilled",
    "VectorIndexBuilt",
    "fill",
]

SEED = 20_260
NO_KEY = "not-a-real-key"
SETUP_STEPS = ["mediaServer", "libraries", "aiProviders", "users", "initialJobs"]
MODEL_SERVER_URL = "http://ollama.example:11434"


@dataclass(frozen=True)
class TableFilled:
    table: str
    rows: int


@dataclass(frozen=True)
class VectorIndexBuilt:
    name: str


def fill(
    conn: Connection,
    size: SampleSize = DEMO_SIZE,
    *,
    now: datetime | None = None,
    seed: int = SEED,
    indexes_last: bool = False,
) -> Generator[TableFilled | VectorIndexBuilt, None, None]:
    """Fill all tables in one transaction; closing the iterator early rolls it back.

    The same size, `now` and seed give the same rows. `indexes_last` drops the vector indexes of
    the filled embedding tables and builds them again at the end, several times faster for large
    sizes; it needs ownership of the tables. Raises UsageError unless the database has the newest
    schema and neither films, series nor users.
    """
    world = make_world(size, now or datetime.now(UTC), seed)
    # Aperture's triggers on films and series call its functions by their bare names.
    with conn.transaction():
        conn.use_original_search_path()
        _require_empty(conn)
        register_vector(conn)
        indexes = _drop_vector_indexes(conn, size.dimension) if indexes_last else {}
        for table in all_tables(world):
            yield TableFilled(table.table, _copy(conn, table))
        write_settings(conn, world)
        for name, definition in indexes.items():
            build_index(conn, definition.encode())
            yield VectorIndexBuilt(name)


def all_tables(world: World) -> Iterator[TableRows]:
    """The rows of all tables; parents before what refers to them."""
    yield from users.account_tables(world)
    yield from library.library_tables(world)
    yield from library.embedding_tables(world)
    yield from users.watching_tables(world)
    yield from users.taste_tables(world)
    yield from recommendations.recommendation_tables(world)
    yield from channels.channel_tables(world)
    yield from channels.chat_tables(world)
    yield from recommendations.discovery_tables(world)
    yield from background.cache_tables(world)
    yield from background.job_tables(world)


def write_settings(conn: Connection, world: World) -> None:
    """Write the settings, job schedules and single-row tables that migrations have filled.

    Existing values are replaced.
    """
    setting = queries.load("sample/setting")
    with conn.cursor() as cursor:
        cursor.executemany(
            setting, [{"key": key, "value": value} for key, value in _settings(world).items()]
        )
        cursor.executemany(
            queries.load("sample/job_config"), [_job_config(world, job) for job in JOBS]
        )
    backup_at = world.now.replace(hour=2, minute=0, second=0) - timedelta(days=1)
    conn.execute(
        queries.load("sample/backup_config"),
        {
            "backup_at": backup_at,
            "filename": backup_at.strftime("aperture_backup_%Y-%m-%d_%H-%M-%S.dump"),
            "size_bytes": 8_000 * world.size.movies,
        },
    )
    conn.execute(
        queries.load("sample/top_picks_config"), {"refreshed_at": world.now - timedelta(hours=8)}
    )
    conn.execute(
        queries.load("sample/setup_progress"),
        {"steps": json.dumps(SETUP_STEPS), "completed_at": world.clock.library_start},
    )


def _require_empty(conn: Connection) -> None:
    row = conn.execute(queries.load("sample/newest_schema")).fetchone()
    if row is None or not row[0]:
        raise UsageError(
            "the sample library can't be filled in",
            why="the database lacks a table or column of the newest schema",
            next_step="aperture-db migrate",
            code="schema_not_current",
        )
    row = conn.execute(queries.load("sample/is_in_use")).fetchone()
    if row is None or row[0]:
        raise UsageError(
            "the sample library can't be filled in",
            why="the database holds a library or users already",
            next_step="use an empty database, for example that of: aperture-db demo reset",
            code="not_empty",
        )


def _copy(conn: Connection, table: TableRows) -> int:
    """COPY the rows in binary, each value by the type of its column; returns how many."""
    rows = iter(table.rows)
    first = next(rows, None)
    if first is None:
        return 0
    columns = list(first)
    types: dict[str, int] = dict(
        conn.execute(queries.load("sample/column_types"), {"table": table.table}).fetchall()
    )
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(table.table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    count = 1
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types([types[column] for column in columns])
        copy.write_row(tuple(first.values()))
        for count, row in enumerate(rows, start=2):  # noqa: B007
            copy.write_row(tuple(row.values()))
    return count


def _drop_vector_indexes(conn: Connection, dimension: int) -> dict[str, str]:
    """Drop the HNSW indexes on the tables of this dimension; returns their definitions by name."""
    rows = conn.execute(
        queries.load("sample/vector_indexes"), {"suffix": f"embeddings_{dimension}"}
    ).fetchall()
    for name, _definition in rows:
        conn.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return dict(rows)


def _settings(world: World) -> dict[str, str]:
    provider, model = world.model
    chat = {"provider": "ollama", "model": "llama3.2", "baseUrl": MODEL_SERVER_URL}
    embeddings = {"provider": provider, "model": model}
    if provider == "ollama":
        embeddings["baseUrl"] = MODEL_SERVER_URL
    return {
        "media_server_type": "jellyfin",
        "media_server_base_url": SERVER_URL,
        "media_server_api_key": NO_KEY,
        "tmdb_api_key": NO_KEY,
        "trakt_client_secret": NO_KEY,
        "ai_config": json.dumps(
            {"embeddings": embeddings, "chat": chat, "textGeneration": chat, "exploration": None}
        ),
        "ai_provider_credentials": json.dumps({"ollama": {"baseUrl": MODEL_SERVER_URL}}),
        "watching_library_enabled": "true",
        "seerr_url": "http://seerr.example:5055",
        "seerr_api_key": NO_KEY,
        "seerr_enabled": "true",
    }


def _job_config(world: World, job: ScheduledJob) -> dict[str, object]:
    newest = next(job.starts(world.clock, days=7), None) if job.is_recorded else None
    return {
        "job_name": job.name,
        "schedule_type": job.schedule_type,
        "hour": job.hour,
        "minute": None if job.hour is None else 0,
        "day_of_week": 0 if job.is_weekly else None,
        "interval_hours": job.every_hours,
        "interval_minutes": job.every_minutes,
        "last_run_at": newest,
        "last_run_status": "completed" if newest else None,
        "last_run_duration_ms": round(job.seconds * 1000) if newest else None,
    }
