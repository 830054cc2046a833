"""Databases with so many tables that one transaction can't hold a lock on each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from aperture_db.postgres.session import open_session
from tests.program import run_inside
from tests.servers.clusters import start_server
from tests.servers.programs import server_under_test
from tests.servers.shared import SharedServers

FEW_LOCKS = {
    "max_locks_per_transaction": "10",
    "max_connections": "20",
    "max_worker_processes": "2",
    "max_wal_senders": "0",
    "wal_level": "minimal",
}
TABLES = 1000


@pytest.fixture
def crowded_database(servers: SharedServers) -> Iterator[str]:
    """Aperture among a thousand tables, on a server with room for the locks of some hundred."""
    admin = servers.get(
        "few_locks", lambda home: start_server(server_under_test(), home, FEW_LOCKS)
    )
    database = make_conninfo(admin["conninfo"], dbname="many")
    with servers.exclusive("few_locks"):
        with psycopg.connect(admin["conninfo"], autocommit=True) as conn:
            conn.execute("DROP DATABASE IF EXISTS many WITH (FORCE)")
            conn.execute("CREATE DATABASE many")
        assert run_inside("migrate", database=database).code == 0
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute("CREATE SCHEMA others")
            conn.execute(
                f"""DO $$ BEGIN
                    FOR i IN 1..{TABLES} LOOP
                        EXECUTE format('CREATE TABLE others.t%s (id int PRIMARY KEY)', i);
                        EXECUTE format('INSERT INTO others.t%s VALUES (1), (2)', i);
                        IF i % 20 = 0 THEN COMMIT; END IF;
                    END LOOP;
                END $$"""
            )
        yield database


def test_every_command_that_counts(crowded_database: str, tmp_path: Path) -> None:
    report = run_inside("stats", "--tables", "--json", database=crowded_database)
    assert report.code == 0, report.err
    tables = report.envelope["data"]["tables"]
    counts = [each["count"]["rows"] for each in tables if each["schema"] == "others"]
    assert counts == [2] * TABLES
    page = tmp_path / "report.html"
    for command in (
        ("stats",),
        ("check-extensions",),
        ("vacuum", "--dry-run"),
        ("clean",),
        ("purge", "--what", "movies", "--dry-run"),
        ("purge", "--what", "everything", "--dry-run"),
        ("relink", "--keep"),
        ("report", "--output", str(page)),
    ):
        outcome = run_inside(*command, database=crowded_database)
        assert outcome.code == 0, outcome.err
    health = run_inside("health", "--json", database=crowded_database)
    skipped = {
        check["id"]: check["reason"]
        for check in health.envelope["data"]["checks"]
        if check["status"] == "skipped"
    }
    assert not [reason for reason in skipped.values() if "memory" in reason], skipped


def test_pg_dump_needs_a_lock_on_each(crowded_database: str, tmp_path: Path) -> None:
    outcome = run_inside("backup", "--dir", str(tmp_path), "--json", database=crowded_database)
    assert (outcome.code, outcome.envelope["error"]["code"]) == (1, "locks_exhausted")
    assert outcome.envelope["error"]["next"].startswith(
        "ALTER SYSTEM SET max_locks_per_transaction = "
    )
    assert list(tmp_path.iterdir()) == []


def test_more_counts_than_one_statement_has_stack_for(admin_conninfo: str) -> None:
    counts = [
        sql.SQL("SELECT {}, count(*) FROM pg_catalog.pg_am").format(sql.Literal(number))
        for number in range(12_000)
    ]
    with open_session(admin_conninfo) as conn, conn.transaction():
        assert len(conn.fetch_counts(counts)) == 12_000
