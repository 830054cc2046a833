"""Rows for databases of any version from 0041 on, where hints are concerned."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

Connection = psycopg.Connection[TupleRow]


SYNCED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def add_movies(conn: Connection, number: int, library: str | None = None) -> None:
    conn.execute(
        "INSERT INTO movies (provider_item_id, title, provider_library_id) "
        "SELECT gen_random_uuid()::text, 'film ' || n, %s FROM generate_series(1, %s) AS n",
        [library, number],
    )


def add_series(
    conn: Connection, number: int, episodes: int = 0, library: str | None = None
) -> None:
    conn.execute(
        "INSERT INTO series (provider_item_id, title, provider_library_id) "
        "SELECT gen_random_uuid()::text, 'series ' || n, %s FROM generate_series(1, %s) AS n",
        [library, number],
    )
    conn.execute(
        "INSERT INTO episodes (series_id, provider_item_id, season_number, episode_number, title) "
        "SELECT id, gen_random_uuid()::text, 1, n, 'episode ' || n "
        "FROM series, generate_series(1, %s) AS n "
        "WHERE NOT EXISTS (SELECT FROM episodes WHERE series_id = series.id)",
        [episodes],
    )


def add_users(conn: Connection, number: int, provider: str = "emby") -> None:
    conn.execute(
        "INSERT INTO users (provider, provider_user_id, username) "
        "SELECT %s, gen_random_uuid()::text, 'user ' || n FROM generate_series(1, %s) AS n",
        [provider, number],
    )


def add_library(conn: Connection, name: str, collection_type: str, *, enabled: bool) -> None:
    """A library that was configured before the last sync."""
    conn.execute(
        "INSERT INTO library_config "
        "(provider_library_id, name, collection_type, is_enabled, updated_at) "
        "VALUES (%s, %s, %s, %s, %s)",
        [name, name, collection_type, enabled, SYNCED_AT],
    )


def add_job_run(
    conn: Connection,
    job_name: str,
    total: int | None = None,
    *,
    status: str = "completed",
    at: datetime = SYNCED_AT,
    **metadata: Any,
) -> None:
    conn.execute(
        "INSERT INTO job_runs (job_name, status, started_at, completed_at, duration_ms, "
        "items_total, metadata) VALUES (%s, %s, %s, %s, 1, %s, %s)",
        [job_name, status, at, at, total, Jsonb(metadata)],
    )


def set_setting(conn: Connection, key: str, value: str) -> None:
    conn.execute(
        "INSERT INTO system_settings (key, value) VALUES (%s, %s) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [key, value],
    )


def use_model(conn: Connection, provider: str, model: str) -> None:
    config = {"embeddings": {"provider": provider, "model": model, "apiKey": "sentinel-key"}}
    set_setting(conn, "ai_config", json.dumps(config))


def embed(
    conn: Connection, items: str, table: str, model: str, dimension: int, limit: int = 1_000_000
) -> None:
    """Give items (a table: movies, series or episodes) embeddings of a model."""
    item_column = {"movies": "movie_id", "series": "series_id", "episodes": "episode_id"}[items]
    conn.execute(
        sql.SQL(
            "INSERT INTO {} ({}, model, embedding) "
            "SELECT id, {}, array_fill(0.5::real, ARRAY[{}])::vector::halfvec "
            "FROM {} ORDER BY id LIMIT {}"
        ).format(
            sql.Identifier(table),
            sql.Identifier(item_column),
            model,
            dimension,
            sql.Identifier(items),
            limit,
        )
    )
