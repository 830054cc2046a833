"""The same report from a hot standby and through a transaction pooler."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import psycopg
from psycopg.conninfo import make_conninfo

from aperture_db.stats.collect import collect, collect_tables
from tests.conftest import apply_migrations, fill_sample
from tests.program import run_inside
from tests.servers.standby import ReplicatedDatabase
from tests.stats.conftest import Open


def test_hot_standby(replicated_database: Callable[[], ReplicatedDatabase], reader: Open) -> None:
    database = replicated_database()
    apply_migrations(database.primary)
    fill_sample(database.primary)
    database.wait_until_replayed()
    on_primary, on_standby = (collect(reader(c)) for c in (database.primary, database.standby))
    assert on_standby.database.is_standby
    assert on_standby.overview == on_primary.overview
    assert on_standby.coverage == on_primary.coverage
    assert on_standby.embeddings == on_primary.embeddings
    tables = collect_tables(reader(database.standby))
    # A standby keeps no statistics of its own.
    assert {table.dead_rows for table in tables.tables} == {None}
    outcome = run_inside("stats", "--record", "--json", database=database.standby)
    assert outcome.code == 1
    assert outcome.envelope["error"]["code"] == "read_only"


def test_older_server_without_pgvector(postgres15: str, reader: Open) -> None:
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres15, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            conninfo = make_conninfo(postgres15, dbname=name)
            apply_migrations(conninfo, until="0001")
            with psycopg.connect(conninfo) as conn:
                conn.execute("CREATE TABLE movies AS SELECT n AS id FROM generate_series(1, 9) n")
            for arguments in (["--record"], ["--tables"], ["--estimate"], ["--history"]):
                assert run_inside("stats", *arguments, database=conninfo).code == 0
            assert collect(reader(conninfo)).overview.movies.rows == 9
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_transaction_pooler(
    sample_database: Callable[[], str],
    pgbouncer_conninfo: Callable[[str], str],
    reader: Open,
) -> None:
    conninfo = sample_database()
    pooled = pgbouncer_conninfo(conninfo)
    assert collect(reader(pooled)).overview == collect(reader(conninfo)).overview
    assert run_inside("stats", "--record", database=pooled).code == 0
    assert run_inside("stats", "--history", "--json", database=pooled).code == 0
    assert run_inside("stats", "--tables", "--estimate", database=pooled).code == 0
