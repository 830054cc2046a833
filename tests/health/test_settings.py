"""Settings of the server against what the database holds."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.health.checks import aperture
from tests.health.conftest import follow_advice, read_check, read_health
from tests.health.test_queries import execute
from tests.health.test_storage import make_embeddings


def set_for_database(conninfo: str, setting: str, value: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(f'ALTER DATABASE "{conn.info.dbname}" SET {setting} = {value}')


def test_sorts_that_spill_to_disk(migrated: str) -> None:
    before = read_health(migrated)
    execute(migrated, "SELECT i FROM generate_series(1, 200000) AS i ORDER BY random()")
    assert read_health(migrated).changed_since(before) == set()
    reading = read_health(migrated, "--warn", "work-mem=1MB")
    assert reading.changed_since(before) == {"work-mem"}
    check = reading["work-mem"]
    assert "because they get 4.00 MB of memory each" in check["reason"]
    assert check["advice"] == [
        "ALTER SYSTEM SET work_mem = '16MB';",
        "SELECT pg_reload_conf();",
    ]


def test_a_setting_is_changed_where_it_was_made(migrated: str) -> None:
    """ALTER SYSTEM would not help against the value that the database has of its own."""
    set_for_database(migrated, "work_mem", "'64kB'")
    execute(migrated, "SELECT i FROM generate_series(1, 200000) AS i ORDER BY random()")
    limits = ("--warn", "work-mem=1MB")
    advice = read_check(migrated, "work-mem", *limits)["advice"]
    name = conninfo_to_dict(migrated)["dbname"]
    assert advice == [f"ALTER DATABASE \"{name}\" SET work_mem = '16MB';"]


def test_an_hnsw_index_that_outgrows_maintenance_work_mem(migrated: str) -> None:
    make_embeddings(migrated, 1600)
    before = read_health(migrated)
    set_for_database(migrated, "maintenance_work_mem", "'4MB'")
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"maintenance-work-mem"}
    check = reading["maintenance-work-mem"]
    assert check["status"] == "info"
    assert check["value"] > 100
    assert "shm_size: 128mb" in check["reason"]
    warned = read_check(migrated, "maintenance-work-mem", "--warn", "maintenance-work-mem=100%")
    assert warned["status"] == "warning"
    follow_advice(migrated, check)
    assert read_health(migrated).changed_since(before) == set()


def test_small_buffers_for_a_large_database(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_check(migrated, "shared-buffers")["status"] == "ok"
    monkeypatch.setattr(aperture, "LARGE_DATABASE", 1 << 20)
    check = read_check(migrated, "shared-buffers")
    assert check["status"] == "info"
    assert check["advice"][0] == "ALTER SYSTEM SET shared_buffers = '512MB';"


def test_a_table_that_autovacuum_leaves_alone(migrated: str) -> None:
    before = read_health(migrated)
    execute(migrated, "ALTER TABLE movies SET (autovacuum_enabled = off)")
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"autovacuum"}
    assert reading["autovacuum"]["advice"] == ["ALTER TABLE movies RESET (autovacuum_enabled);"]
    follow_advice(migrated, reading["autovacuum"])
    assert read_health(migrated).changed_since(before) == set()


def test_a_server_without_autovacuum(admin_conninfo: str) -> None:
    """The other tests' server has it off."""
    check = read_check(admin_conninfo, "autovacuum")
    assert check["status"] == "warning"
    assert check["advice"] == [
        "ALTER SYSTEM SET autovacuum = on;",
        "SELECT pg_reload_conf();",
    ]


def test_a_managed_service_gets_advice_that_works_there(migrated: str) -> None:
    make_embeddings(migrated, 1600)
    set_for_database(migrated, "maintenance_work_mem", "'1MB'")
    managed = make_conninfo(migrated, host="mine.rds.amazonaws.com", hostaddr="127.0.0.1")
    check = read_check(managed, "maintenance-work-mem")
    assert check["advice"][0].startswith('ALTER DATABASE "test_')
    follow_advice(managed, check)
    assert read_check(managed, "maintenance-work-mem")["status"] == "ok"


def test_a_managed_service_has_a_console_for_what_needs_a_restart(
    migrated: str, postgres15: str
) -> None:
    def on_service(conninfo: str) -> str:
        return make_conninfo(conninfo, host="mine.rds.amazonaws.com", hostaddr="127.0.0.1")

    limits = ("--warn", "connections=0", "--warn", "cache-hit-ratio=100%")
    reading = read_health(on_service(migrated), *limits)
    steps = [step for check in reading.checks.values() for step in check["advice"]]
    assert not any("ALTER SYSTEM" in step for step in steps)
    more = reading["connections"]["advice"][-1]
    assert more.startswith("set max_connections = ")
    assert more.endswith(" in the service's console, or choose a larger instance")
    statements = read_check(on_service(postgres15), "slow-statements")
    assert statements["advice"][0] == (
        "add pg_stat_statements to shared_preload_libraries in the service's console, "
        "and restart the server"
    )
