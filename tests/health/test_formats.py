"""The formats: each parses by its own grammar."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from aperture_db.health.checks import CHECKS
from tests.cli import COMMAND, environment
from tests.health.conftest import read_health, run_health
from tests.health.test_fresh import TRUE_OF_A_FRESH_ONE
from tests.health.test_queries import execute
from tests.program import run_inside
from tests.waiting import wait_until

# https://nagios-plugins.org/doc/guidelines.html, "Performance data" and "Threshold and Ranges".
NUMBER = r"-?\d+(?:\.\d+)?"
RANGE = rf"(?:@?(?:(?:{NUMBER}|~)?:)?(?:{NUMBER})?)"
LABEL = r"(?:'(?:[^'=]|'')+'|[^\s'=|]+)"
DATUM = (
    rf"{LABEL}=(?:{NUMBER}(?:s|ms|us|%|B|KB|MB|GB|TB|c)?|U)"
    rf"(?:;{RANGE}?)?(?:;{RANGE}?)?(?:;{NUMBER}|;)?(?:;{NUMBER}|;)?"
)
STATUS_LINE = re.compile(
    rf"APERTURE-DB (OK|WARNING|CRITICAL|UNKNOWN) - [^|\n]+(?: \| {DATUM}(?: {DATUM})*)?"
)
EXIT_CODES = {"OK": 0, "WARNING": 1, "CRITICAL": 2, "UNKNOWN": 3}

# Of a fresh installation.
NOTES = len(TRUE_OF_A_FRESH_ONE)
OK = sum(not check.on_request for check in CHECKS) - NOTES


def parse_nagios(text: str, code: int) -> str:
    """The state, after checking the whole by its grammar."""
    first, *details = text.removesuffix("\n").split("\n")
    match = STATUS_LINE.fullmatch(first)
    assert match, first
    assert EXIT_CODES[match[1]] == code
    assert not any("|" in line for line in details)
    return match[1]


def test_nagios_of_a_healthy_database(migrated: str) -> None:
    outcome = run_health(migrated, "--format", "nagios")
    assert parse_nagios(outcome.out, outcome.code) == "OK"
    assert outcome.out.count("\n") == 1
    assert outcome.out.startswith(f"APERTURE-DB OK - {OK} ok, {NOTES} info | latency=")
    assert " connections=" in outcome.out
    assert " cache-hit-ratio=" not in outcome.out


def test_nagios_tells_what_is_wrong(library: str) -> None:
    execute(
        library,
        'ALTER TABLE users ADD CONSTRAINT "odd | name" CHECK (true) NOT VALID',
        "UPDATE backup_config SET last_backup_at = now() - interval '9 days'",
    )
    outcome = run_health(library, "--format", "nagios", "-q")
    assert parse_nagios(outcome.out, outcome.code) == "CRITICAL"
    lines = outcome.out.splitlines()
    assert lines[0].startswith(
        "APERTURE-DB CRITICAL - backup-age: the last backup is 9 d 0 h old; "
    )
    assert lines[1:3] == ["critical backup-age: the last backup is 9 d 0 h old",
                          "  aperture-db backup"]  # fmt: skip
    assert 'VALIDATE CONSTRAINT "odd / name";' in lines[4]


def test_nagios_leaves_out_the_notes_beside_a_warning(migrated: str) -> None:
    execute(migrated, "CREATE INDEX twice ON users (provider, provider_user_id)")
    outcome = run_health(migrated, "--format", "nagios", "--only", "duplicate-indexes")
    assert parse_nagios(outcome.out, outcome.code) == "WARNING"
    assert outcome.out.count("warning duplicate-indexes: ") == 1
    assert "Aperture's own" not in outcome.out


@pytest.mark.parametrize("arguments", [[], ["--strict"]])
def test_nagios_of_what_is_not_known(
    migrated: str, role_of: Callable[[str, str], str], arguments: list[str]
) -> None:
    role = role_of(migrated, "read")
    outcome = run_health(role, "--format", "nagios", *arguments)
    assert parse_nagios(outcome.out, outcome.code) == ("UNKNOWN" if arguments else "OK")


def metrics_of(text: str) -> dict[str, dict[str, float]]:
    """Values by metric and check."""
    families = list(text_string_to_metric_families(text))
    assert all(family.type == "gauge" and family.documentation for family in families)
    return {
        family.name: {s.labels.get("check", ""): s.value for s in family.samples}
        for family in families
    }


def test_prometheus(migrated: str) -> None:
    execute(migrated, "ALTER TABLE movies SET (autovacuum_enabled = off)")
    reading = read_health(migrated)
    outcome = run_health(migrated, "--format", "prometheus")
    assert outcome.code == reading.code == 1
    metrics = metrics_of(outcome.out)
    assert metrics["aperture_db_up"] == {"": 1}
    assert metrics["aperture_db_health"] == {"": 1}
    numbers = {"skipped": -1, "ok": 0, "info": 1, "warning": 2, "critical": 3}
    assert metrics["aperture_db_check_status"] == {
        name: numbers[status] for name, status in reading.statuses.items()
    }
    assert metrics["aperture_db_check_value_number"]["migrations"] == 0
    assert metrics["aperture_db_check_value_ratio"]["connections"] < 1
    assert "latency" in metrics["aperture_db_check_value_seconds"]
    assert "legacy-embeddings" in metrics["aperture_db_check_value_bytes"]
    assert outcome.out.endswith("\n")
    assert not outcome.out.endswith("\n\n")


def test_prometheus_labels_are_escaped(healthy_server: str) -> None:
    name = 'odd "name"\\'
    quoted = '"' + name.replace('"', '""') + '"'
    execute(healthy_server, f"CREATE DATABASE {quoted}")
    try:
        conninfo = psycopg.conninfo.make_conninfo(healthy_server, dbname=name)
        outcome = run_health(conninfo, "--format", "prometheus")
    finally:
        execute(healthy_server, f"DROP DATABASE {quoted} WITH (FORCE)")
    up = next(f for f in text_string_to_metric_families(outcome.out) if f.name == "aperture_db_up")
    assert up.samples[0].labels["database"] == name


def test_a_prometheus_file_is_replaced_as_a_whole(migrated: str, tmp_path: Path) -> None:
    file = tmp_path / "aperture.prom"
    file.write_text("old\n")
    inode = file.stat().st_ino
    arguments = ("health", "--format", "prometheus", "--output", str(file))
    outcome = run_inside(*arguments, database=migrated)
    assert (outcome.code, outcome.out) == (0, "")
    assert metrics_of(file.read_text())["aperture_db_up"] == {"": 1}
    assert file.stat().st_ino != inode
    assert file.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    assert list(tmp_path.iterdir()) == [file]


def current_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_a_file_that_can_t_be_written_is_unknown(migrated: str, tmp_path: Path) -> None:
    file = tmp_path / "missing" / "aperture.prom"
    outcome = run_health(migrated, "--format", "prometheus", "--output", str(file))
    assert outcome.code == 3
    assert outcome.err.startswith(f"error: could not write {file}")


def test_json_is_the_shared_envelope(migrated: str) -> None:
    one = run_health(migrated, "--json").envelope
    two = run_health(migrated, "--format", "json").envelope
    assert one.keys() == two.keys()
    assert one["ok"] is True
    assert set(one["data"]) == {
        "server", "database", "checked_at", "verdict", "counts", "checks",
    }  # fmt: skip
    assert one["data"]["counts"] == {
        "ok": OK, "info": NOTES, "warning": 0, "critical": 0, "skipped": 0,
    }  # fmt: skip
    check = next(c for c in one["data"]["checks"] if c["id"] == "connections")
    assert set(check) == {
        "id", "area", "status", "summary", "value", "thresholds", "reason", "advice", "findings",
        "skipped_because", "duration_seconds",
    }  # fmt: skip
    assert check["thresholds"] == {
        "unit": "percent", "warning": 80, "critical": 95, "is_low_bad": False,
    }  # fmt: skip


def test_watching_goes_on_until_ctrl_c(migrated: str) -> None:
    with watching(migrated, "--watch", "0.1", "--only", "latency") as process:
        assert process.stdout is not None
        seen = 0
        while seen < 2:
            seen += "Healthy: 1 ok" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_watching_keeps_a_prometheus_file_current(migrated: str, tmp_path: Path) -> None:
    file = tmp_path / "aperture.prom"
    arguments = ("--watch", "0.1", "--format", "prometheus", "--output", str(file))
    with watching(migrated, *arguments) as process:
        wait_until(file.exists, "the file is written")
        first = file.read_text()
        wait_until(lambda: file.read_text() != first, "the file is written again")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    assert metrics_of(file.read_text())["aperture_db_up"] == {"": 1}


def watching(conninfo: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "health", *arguments],
        env=environment(conninfo),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
