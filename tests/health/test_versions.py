"""Databases at older migrations, and on older servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg

from tests.conftest import MIGRATIONS
from tests.health.conftest import Reading, read_health

STEPS = ("0001", "0003", "0014", "0023", "0024", "0041", "0048", "0060", "0064", "0077", "0078",
         "0080", "0087", "0091", "0098", "0104", "0109", "0113")  # fmt: skip


def test_every_check_can_look_at_every_version(empty: str) -> None:
    """Applies the files in order and looks at some of the steps."""
    last = "0000"
    for step in STEPS:
        apply_between(empty, last, step)
        reading = read_health(empty)
        skipped = {n: c["reason"] for n, c in reading.checks.items() if c["status"] == "skipped"}
        assert skipped == {}, step
        wrong = [n for n, s in reading.statuses.items() if s in ("warning", "critical")]
        assert wrong == ["migrations"], step
        assert reading.code == 1
        if step < "0109":
            assert reading["unknown-jobs"]["advice"] == [], step
        last = step


def skipped(reading: Reading) -> list[str]:
    return [name for name, status in reading.statuses.items() if status == "skipped"]


def apply_between(conninfo: str, after: str, until: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for file in files_between(after, until):
            with conn.transaction():
                conn.execute(file.read_bytes())
                conn.execute("INSERT INTO aperture_migrations (name) VALUES (%s)", [file.name])


def files_between(after: str, until: str) -> list[Path]:
    return [f for f in sorted(MIGRATIONS.glob("*.sql")) if after < f.name[:4] <= until]


def test_every_query_runs_on_postgresql_15(postgres15: str) -> None:
    reading = read_health(postgres15)
    assert skipped(reading) == ["backup-age"]


def test_every_query_runs_beside_an_old_pgvector(old_pgvector: str) -> None:
    reading = read_health(old_pgvector)
    assert skipped(reading) == ["backup-age"]
    assert reading["extensions"]["status"] == "warning"
    assert "vector: the server offers 0.6.2 only" in reading["extensions"]["reason"]


def test_a_database_of_somebody_else(new_database: Callable[[], str]) -> None:
    database = new_database()
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE TABLE movies (id int PRIMARY KEY)")
        conn.execute("CREATE TABLE job_runs (name text)")
    reading = read_health(database, "--ignore", "autovacuum")
    assert reading["failed-jobs"]["summary"] == "not a database of Aperture"
    # Of backups nothing is known, which is not well.
    assert skipped(reading) == ["backup-age"]
    assert reading["backup-age"]["reason"] == "this is not Aperture's database"
