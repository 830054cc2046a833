"""Settings and schedules: rows that migrations have made, and that the sample changes."""

from __future__ import annotations

import json
from datetime import timedelta

from aperture_db import sql
from aperture_db.postgres.connection import Connection
from aperture_db.sample.rows.content import SERVER_URL
from aperture_db.sample.schedule import JOBS, Job
from aperture_db.sample.world import World

NO_KEY = "not-a-real-key"
SETUP_STEPS = ["mediaServer", "libraries", "aiProviders", "users", "initialJobs"]
MODEL_SERVER_URL = "http://ollama.example:11434"


def write_settings(conn: Connection, world: World) -> None:
    """Fill the tables of single rows and the key/value settings; existing rows are changed."""
    setting = sql.load("sample/setting")
    with conn.cursor() as cursor:
        cursor.executemany(
            setting, [{"key": key, "value": value} for key, value in _settings(world).items()]
        )
        cursor.executemany(sql.load("sample/job_config"), [_job_config(world, job) for job in JOBS])
    backup_at = world.now.replace(hour=2, minute=0, second=0) - timedelta(days=1)
    conn.execute(
        sql.load("sample/backup_config"),
        {
            "backup_at": backup_at,
            "filename": backup_at.strftime("aperture_backup_%Y-%m-%d_%H-%M-%S.dump"),
            "size_bytes": 8_000 * world.size.movies,
        },
    )
    conn.execute(
        sql.load("sample/top_picks_config"), {"refreshed_at": world.now - timedelta(hours=8)}
    )
    conn.execute(
        sql.load("sample/setup_progress"),
        {"steps": json.dumps(SETUP_STEPS), "completed_at": world.clock.library_start},
    )


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


def _job_config(world: World, job: Job) -> dict[str, object]:
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
