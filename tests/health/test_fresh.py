"""Fresh installations are green, apart from what is true of them."""

from __future__ import annotations

from tests.health.conftest import read_health, run_health

TRUE_OF_A_FRESH_ONE = {
    "superuser": "yes",
    "slow-statements": "not measured: no pg_stat_statements",
    "duplicate-indexes": "8, Aperture's own",
    "growth": "collecting: 0 samples",
    "bloat": "not measured: no pgstattuple",
    "unknown-jobs": "4 unknown",
    "backup-age": "none yet",
    "restore-drill": "never",
}


def test_a_migrated_database_is_green(migrated: str) -> None:
    reading = read_health(migrated)
    assert reading.code == 0
    notes = {name: c["summary"] for name, c in reading.checks.items() if c["status"] == "info"}
    assert notes == TRUE_OF_A_FRESH_ONE
    assert set(reading.statuses.values()) == {"ok", "info"}


def test_a_database_with_a_library_is_green(library: str) -> None:
    reading = read_health(library)
    assert reading.code == 0
    assert set(reading.statuses.values()) == {"ok", "info"}


def test_an_empty_database_lacks_its_migrations(empty: str) -> None:
    reading = read_health(empty)
    assert reading.code == 1
    problems = [name for name, status in reading.statuses.items() if status == "warning"]
    assert problems == ["migrations"]
    assert reading["migrations"]["advice"] == ["aperture-db migrate"]
    assert reading["extensions"]["status"] == "info"
    assert reading["orphaned-rows"]["summary"] == "not a database of Aperture"


def test_quiet_prints_nothing_about_a_healthy_database(migrated: str) -> None:
    outcome = run_health(migrated, "-q")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_quiet_prints_what_is_wrong(empty: str) -> None:
    outcome = run_health(empty, "-q")
    assert outcome.code == 1
    assert outcome.out.startswith("warning  migrations\n")
    assert "aperture-db migrate" in outcome.out
    assert outcome.err == ""
