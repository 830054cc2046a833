"""Which checks run, what is ignored, and other thresholds."""

from __future__ import annotations

import pytest

from aperture_db.errors import UsageError
from aperture_db.health.checks import CHECKS
from aperture_db.health.report import Unit
from aperture_db.health.run import make_selection
from tests.health.conftest import read_check, read_health, run_health
from tests.health.test_queries import execute
from tests.program import run_inside


def test_only_some_checks(migrated: str) -> None:
    reading = read_health(migrated, "--only", "tls", "--only", "latency,writable")
    assert set(reading.checks) == {"tls", "latency", "writable"}


def test_checks_left_out(migrated: str) -> None:
    reading = read_health(migrated, "--ignore", "tls", "--ignore", "latency,writable")
    assert not set(reading.checks) & {"tls", "latency", "writable"}
    assert "connections" in reading.checks


def test_objects_left_out_by_name_or_pattern(migrated: str) -> None:
    execute(
        migrated, *(f"ALTER TABLE {t} SET (autovacuum_enabled = off)" for t in ("users", "movies"))
    )
    both = read_check(migrated, "autovacuum")
    assert [finding["object"] for finding in both["findings"]] == ["movies", "users"]
    one = read_check(migrated, "autovacuum", "--ignore", "autovacuum:users")
    assert [finding["object"] for finding in one["findings"]] == ["movies"]
    none = read_check(migrated, "autovacuum", "--ignore", "autovacuum:*s")
    assert (none["status"], none["summary"]) == ("ok", "on, not for 2 tables (2 ignored)")


def test_thresholds_of_every_unit() -> None:
    selection = make_selection(
        CHECKS,
        warn=["latency=250ms", "connections=70%", "stale-embeddings=2GB", "orphaned-rows=5"],
        crit=["latency=2", "backup-age=30d"],
    )
    assert selection.warnings == {
        "latency": 0.25, "connections": 70, "stale-embeddings": 2 << 30, "orphaned-rows": 5,
    }  # fmt: skip
    assert selection.criticals == {"latency": 2, "backup-age": 30 * 86400}


@pytest.mark.parametrize(
    ("arguments", "what", "why"),
    [
        (["--only", "latenzy"], "there is no check latenzy", "did you mean latency?"),
        (["--ignore", "x:y"], "there is no check x", "that is not one of the ids"),
        (["--warn", "tls=1"], "tls has no threshold", "it does not measure a value"),
        (["--crit", "latency=1GB"], "1GB is not a threshold of latency", "its value is in seconds"),
        (["--warn", "latency"], "--warn latency lacks the value", "300, 5m or 2h"),
        (["--crit", "latency="], "--crit latency lacks the value", "300, 5m or 2h"),
        (["--warn", "=5"], "--warn =5 lacks the check", "--warn takes ID=VALUE"),
        (["--timeout", "soon"], "Invalid value for '--timeout'", "the command line is not valid"),
        (["--timeout", "0"], "--timeout must be greater than 0", "would wait forever"),
        (["--format", "xml"], "Invalid value for '--format'", "the command line is not valid"),
        (["--no-such"], "No such option", "the command line is not valid"),
        (["--json", "--format", "nagios"], "--json can't be combined with --format", "one format"),
        (["--output", "/tmp/x"], "--output can only be used with --format", "other formats"),
        (["--watch", "--format", "nagios"], "--watch can't be combined with --format", "one"),
        (["--watch", "--json"], "--watch can't be combined with --json", "exactly one object"),
    ],
)  # fmt: skip
def test_a_wrong_option_exits_with_3(
    migrated: str, arguments: list[str], what: str, why: str
) -> None:
    outcome = run_health(migrated, *arguments)
    assert outcome.code == 3
    told = outcome.out + outcome.err
    assert what in told
    assert why in told


@pytest.mark.parametrize("as_json", [["--json"], ["--format", "json"], ["--format=json"]])
def test_a_wrong_option_is_one_json_object_too(as_json: list[str]) -> None:
    for wrong in (["--only", "nothing"], ["--no-such"]):
        outcome = run_health("postgresql://x@127.0.0.1:1/x", *as_json, *wrong)
        assert outcome.code == 3
        assert outcome.envelope["ok"] is False
        assert outcome.envelope["command"] == "health"
        assert outcome.envelope["error"]["code"] in ("unknown_check", "usage")


def test_no_database_is_unknown_for_monitoring(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in ("DATABASE_URL", "DATABASE_URL_FILE", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(str(tmp_path))
    outcome = run_inside("health", "--format", "nagios")
    assert outcome.code == 3
    assert outcome.out.startswith("APERTURE-DB UNKNOWN - no database is configured: ")


def test_ids_are_stable_words() -> None:
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)
    assert all(part.isalpha() and part.islower() for name in ids for part in name.split("-"))


def test_every_threshold_can_be_given() -> None:
    for check in CHECKS:
        if check.thresholds:
            selection = make_selection(CHECKS, warn=[f"{check.id}=1"])
            assert selection.warnings == {check.id: 1}
            assert check.thresholds.unit in Unit
        else:
            with pytest.raises(UsageError):
                make_selection(CHECKS, warn=[f"{check.id}=1"])
