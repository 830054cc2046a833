"""What Aperture needs: extensions, migrations, default rows, jobs, backups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from aperture_db import aperture
from aperture_db.aperture import DEFAULT_ROWS, DefaultRows
from tests.health.conftest import follow_advice, read_check, read_health
from tests.health.test_queries import execute
from tests.servers.roles import Rights


def test_a_dropped_extension_is_critical(migrated: str) -> None:
    before = read_health(migrated)
    execute(migrated, "DROP EXTENSION pg_trgm CASCADE")
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"extensions", "schema-drift"}
    check = reading["extensions"]
    assert check["status"] == "critical"
    assert check["reason"] == "pg_trgm: the database does not have it yet"
    assert check["advice"] == ["aperture-db check-extensions --create"]
    follow_advice(migrated, check)
    # The indexes that use it went with it.
    follow_advice(migrated, reading["schema-drift"])
    assert read_health(migrated).changed_since(before) == set()


def test_a_server_without_pgvector(postgres15: str) -> None:
    check = read_check(postgres15, "extensions")
    assert check["status"] == "warning"
    assert "vector: its files are not on the server" in check["reason"]


def test_a_pending_migration(migrated: str) -> None:
    before = read_health(migrated)
    execute(
        migrated,
        "DELETE FROM aperture_migrations WHERE name LIKE '0114%'",
        "ALTER TABLE watch_history DROP played, DROP playback_position_ticks, DROP runtime_ticks",
    )
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"migrations"}
    check = reading["migrations"]
    assert (check["status"], check["value"]) == ("warning", 1)
    assert check["reason"].startswith("1 migration pending, the first is 0114_")
    follow_advice(migrated, check)
    assert read_health(migrated).changed_since(before) == set()


def test_a_migration_of_a_newer_aperture_is_a_note(migrated: str) -> None:
    execute(migrated, "INSERT INTO aperture_migrations (name) VALUES ('0115_future.sql')")
    check = read_check(migrated, "migrations")
    assert check["status"] == "info"
    assert "a newer Aperture or a development branch applied it" in check["reason"]


def test_tables_without_a_record_are_critical(migrated: str) -> None:
    execute(migrated, "DROP TABLE aperture_migrations")
    check = read_check(migrated, "migrations")
    assert check["status"] == "critical"
    assert check["advice"] == ["aperture-db migrate --mark-applied NAME"]


@pytest.mark.parametrize("rows", DEFAULT_ROWS, ids=lambda rows: rows.table)
def test_a_missing_default_row(migrated: str, rows: DefaultRows) -> None:
    table = rows.table
    status = "critical" if rows.is_vital else "warning"
    before = read_health(migrated)
    with psycopg.connect(migrated, autocommit=True) as conn:
        originals = conn.execute(f"SELECT to_jsonb(t) - 'id' FROM {table} AS t").fetchall()
    execute(migrated, f"DELETE FROM {table}")
    reading = read_health(migrated)
    expected = {"default-rows"} | ({"backup-age"} if table == "backup_config" else set())
    assert reading.changed_since(before) <= expected
    check = reading["default-rows"]
    assert check["status"] == status
    assert [finding["object"] for finding in check["findings"]] == [table]
    follow_advice(migrated, check)
    assert read_health(migrated).changed_since(before) == set()
    with psycopg.connect(migrated, autocommit=True) as conn:
        restored = conn.execute(f"SELECT to_jsonb(t) - 'id' FROM {table} AS t").fetchall()
    assert without_times(restored) == without_times(originals)


def without_times(rows: list[tuple[dict[str, object]]]) -> list[dict[str, object]]:
    return [
        {name: value for name, value in row.items() if not name.endswith("_at")} for (row,) in rows
    ]


def test_default_rows_of_older_versions_have_fewer_columns(migrated: str) -> None:
    execute(
        migrated,
        "ALTER TABLE top_picks_config DROP series_min_unique_viewers",
        "DELETE FROM top_picks_config",
    )
    follow_advice(migrated, read_check(migrated, "default-rows"))
    assert read_check(migrated, "default-rows")["status"] == "ok"


def test_a_failed_job(library: str) -> None:
    before = read_health(library)
    execute(
        library,
        "INSERT INTO job_runs (job_name, status, started_at, completed_at, duration_ms, "
        "error_message) SELECT 'sync-movies', 'failed', now() - i * interval '1 second', now(), 1, "
        "'GET https://emby/Items?api_key=sentinel-secret failed' FROM generate_series(1, 3) AS i",
    )
    reading = read_health(library)
    assert reading.changed_since(before) == {"failed-jobs"}
    check = reading["failed-jobs"]
    assert (check["status"], check["value"]) == ("warning", 3)
    assert check["reason"].startswith("sync-movies failed 3 times in a row (")
    assert "sentinel-secret" not in str(reading)
    assert check["advice"][0].startswith("SELECT error_message FROM job_runs WHERE id = '")
    ignored = read_check(library, "failed-jobs", "--ignore", "failed-jobs:sync-movies")
    assert ignored["status"] == "ok"
    execute(
        library,
        "INSERT INTO job_runs (job_name, status, started_at, completed_at, duration_ms) "
        "VALUES ('sync-movies', 'completed', now(), now(), 1)",
    )
    assert read_health(library).changed_since(before) == set()


def test_jobs_that_no_code_knows(migrated: str) -> None:
    check = read_check(migrated, "unknown-jobs")
    assert {finding["object"] for finding in check["findings"]} == {
        "generate-embeddings", "generate-recommendations", "rebuild-recommendations",
        "sync-watch-history",
    }  # fmt: skip
    assert check["advice"] == ["aperture-db clean --apply dead-jobs"]
    follow_advice(migrated, check)
    assert read_check(migrated, "unknown-jobs")["status"] == "ok"
    execute(
        migrated,
        "INSERT INTO job_runs (job_name, status, started_at, completed_at, duration_ms) "
        "VALUES ('sync-strm', 'completed', now(), now(), 1)",
    )
    check = read_check(migrated, "unknown-jobs")
    assert "the history has 1 run of sync-strm" in check["reason"]


def test_an_old_backup(library: str, tmp_path: Path) -> None:
    before = read_health(library)
    set_age = "UPDATE backup_config SET last_backup_at = now() - interval '{}'"
    execute(library, set_age.format("80 hours"))
    reading = read_health(library)
    assert reading.changed_since(before) == {"backup-age"}
    assert reading["backup-age"]["status"] == "warning"
    assert reading["backup-age"]["reason"] == "the last backup is 3 d 8 h old"
    assert reading["backup-age"]["advice"] == ["aperture-db backup"]
    execute(library, set_age.format("8 days"))
    assert read_health(library).code == 2
    execute(
        library,
        f"UPDATE backup_config SET last_backup_at = now(), backup_path = '{tmp_path}', "
        "last_backup_filename = 'aperture_backup_now.dump'",
    )
    missing = read_check(library, "backup-age")
    assert missing["status"] == "info"
    assert "is not in" in missing["reason"]
    (tmp_path / "aperture_backup_before.dump").touch()
    assert read_check(library, "backup-age")["status"] == "warning"
    (tmp_path / "aperture_backup_now.dump").touch()
    assert read_check(library, "backup-age")["status"] == "ok"


def test_a_backup_dated_in_the_future(library: str) -> None:
    """A clock that was wrong once must not keep the check quiet for years."""
    execute(library, "UPDATE backup_config SET last_backup_at = now() + interval '9 years'")
    check = read_check(library, "backup-age")
    assert check["status"] == "warning"
    assert "dated in the future" in check["reason"]
    execute(library, "UPDATE backup_config SET last_backup_at = now() + interval '1 minute'")
    assert read_check(library, "backup-age")["status"] == "ok"


def test_an_old_installation_without_any_backup(migrated: str) -> None:
    execute(migrated, "UPDATE aperture_migrations SET applied_at = now() - interval '4 days'")
    check = read_check(migrated, "backup-age")
    assert check["status"] == "warning"
    assert check["reason"] == "no backup yet, 4 d 0 h after the installation"


def test_expired_sessions(library: str) -> None:
    follow_advice(library, read_check(library, "expired-sessions"))
    before = read_health(library)
    assert before["expired-sessions"]["status"] == "ok"
    execute(
        library,
        "INSERT INTO sessions (user_id, expires_at) "
        "SELECT id, now() - interval '1 hour' FROM users",
    )
    reading = read_health(library)
    assert reading.changed_since(before) == {"expired-sessions"}
    assert reading["expired-sessions"]["value"] == 8
    follow_advice(library, reading["expired-sessions"])
    assert read_health(library).changed_since(before) == set()


def test_missing_embeddings(library: str) -> None:
    before = read_health(library)
    execute(
        library,
        "DELETE FROM embeddings_256 WHERE id IN (SELECT id FROM embeddings_256 LIMIT 10)",
    )
    reading = read_health(library)
    assert reading.changed_since(before) - {"dead-rows"} == {"embedding-coverage"}
    check = reading["embedding-coverage"]
    assert check["status"] == "warning"
    assert check["reason"].startswith("14 of 60 movies have no embedding of ")
    assert check["advice"] == ["run the job generate-movie-embeddings in Aperture under Jobs"]
    assert [finding["object"] for finding in check["findings"]] == ["movies"]


def test_no_model_is_told_once_there_is_something_to_embed(library: str, migrated: str) -> None:
    execute(library, "DELETE FROM system_settings WHERE key IN ('ai_config', 'openai_api_key')")
    check = read_check(library, "embedding-coverage")
    assert (check["status"], check["summary"]) == ("info", "no model")
    assert read_check(library, "stale-embeddings")["status"] == "ok"
    assert read_check(migrated, "embedding-coverage")["status"] == "ok"


UNFINISHED = {
    "enrichment_runs": "(target_version, last_updated_at) VALUES (3, {})",
    "recommendation_runs": "(user_id, created_at) SELECT id, {} FROM users LIMIT 1",
    "discovery_runs": "(user_id, media_type, created_at) SELECT id, 'movie', {} FROM users LIMIT 1",
    "gap_analysis_runs": "(created_at) VALUES ({})",
}


@pytest.mark.parametrize("table", UNFINISHED)
def test_a_run_that_was_never_finished(
    library: str, table: str, role_of: Callable[[str, Rights], str]
) -> None:
    assert list(UNFINISHED) == list(aperture.RUN_TABLES)
    before = read_health(library)
    assert before["unfinished-runs"]["summary"] == "none"
    insert = f"INSERT INTO {table} {UNFINISHED[table]}"
    execute(library, insert.format("now() - interval '23 hours'"))
    check = read_check(library, "unfinished-runs")
    assert (check["status"], check["summary"]) == ("ok", "for 23 h 00 min")
    execute(library, insert.format("now() - interval '25 hours'"))
    reading = read_health(library)
    assert reading.changed_since(before) == {"unfinished-runs"}
    check = reading["unfinished-runs"]
    assert check["status"] == "warning"
    assert check["reason"].startswith(f"2 runs in {table} have the status running, the oldest")
    critical = read_check(library, "unfinished-runs", "--crit", "unfinished-runs=1d")
    assert critical["status"] == "critical"
    follow_advice(library, check)
    after = read_check(library, "unfinished-runs")
    assert (after["status"], after["summary"]) == ("ok", "for 23 h 00 min")
    # The advice is about what the threshold calls too long.
    hour = ("--warn", "unfinished-runs=1h")
    follow_advice(library, read_check(library, "unfinished-runs", *hour))
    assert read_check(library, "unfinished-runs", *hour)["summary"] == "none"
    execute(library, insert.format("now() - interval '23 hours'"))
    role = role_of(library, "read")
    execute(library, f"REVOKE SELECT ON {table} FROM {conninfo_to_dict(role)['user']}")
    hidden = read_check(role, "unfinished-runs")
    assert (hidden["status"], hidden["skipped_because"]) == ("skipped", "privilege")
    follow_advice(library, hidden)
    assert read_check(role, "unfinished-runs")["status"] == "ok"
