"""The servers are what they claim to be."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from tests.servers.standby import ReplicatedDatabase


def test_pgbouncer_hands_statements_to_any_server_process(
    new_database: Callable[[], str], pgbouncer_conninfo: Callable[[str], str]
) -> None:
    with psycopg.connect(pgbouncer_conninfo(new_database()), autocommit=True) as conn:
        row = conn.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        assert row[0] != conn.info.backend_pid


def test_the_standby_follows_its_primary(
    replicated_database: Callable[[], ReplicatedDatabase],
) -> None:
    database = replicated_database()
    with psycopg.connect(database.primary) as primary:
        primary.execute("CREATE TABLE movies AS SELECT 1 AS id")
    database.wait_until_replayed()
    with psycopg.connect(database.standby) as standby:
        assert standby.execute("SELECT pg_is_in_recovery(), id FROM movies").fetchone() == (True, 1)
