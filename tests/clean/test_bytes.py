"""The sizes are what PostgreSQL gives back: at once after TRUNCATE, by VACUUM FULL after DELETE."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg
import pytest

from tests.clean.conftest import apply, execute, listed
from tests.clean.test_kinds import LEGACY_ROWS
from tests.waiting import wait_until

NewDatabase = Callable[[], str]


def total_size(conninfo: str, *tables: str) -> int:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        sizes = (
            "SELECT sum(pg_total_relation_size(t::regclass))::bigint FROM unnest(%s::text[]) AS t"
        )
        row = conn.execute(sizes, [list(tables)]).fetchone()
    assert row is not None
    return int(row[0])


def database_size(conninfo: str) -> int:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("CHECKPOINT")
        row = conn.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    ("kind", "tables"),
    [("legacy-embeddings", ["embeddings_legacy"]), ("stale-embeddings", ["embeddings_384"])],
)
def test_a_table_that_is_emptied_gives_back_exactly_what_was_listed(
    sample_database: NewDatabase, kind: str, tables: list[str]
) -> None:
    database = sample_database()
    execute(database, LEGACY_ROWS)
    report = listed(database)[kind]
    assert report["is_size_exact"] is True
    before, whole_before = total_size(database, *tables), database_size(database)
    outcome = apply(database, kind, "--json")
    assert outcome.code == 0
    assert before - total_size(database, *tables) == report["size_bytes"]
    assert whole_before - database_size(database) == report["size_bytes"]
    (cleaned,) = outcome.envelope["data"]["kinds"]
    assert [table["freed_bytes"] for table in cleaned["tables"]] == [report["size_bytes"]]
    assert outcome.envelope["data"]["next_steps"] == []


def vacuum_full(conninfo: str, table: str) -> None:
    """Until no dead row is left: a transaction in any database of the server can keep them."""

    def is_clean() -> bool:
        verbose: list[str] = []
        with psycopg.connect(conninfo, autocommit=True) as conn:
            conn.add_notice_handler(lambda notice: verbose.append(str(notice.message_detail)))
            conn.add_notice_handler(lambda notice: verbose.append(str(notice.message_primary)))
            conn.execute(f"VACUUM (FULL, VERBOSE) {table}".encode())
        return re.search(r"\b0 dead row versions cannot", " ".join(verbose)) is not None

    wait_until(is_clean, f"{table} has no dead rows")


FILL = {
    "job-history": (
        "INSERT INTO job_runs (job_name, status, started_at, completed_at, duration_ms, metadata) "
        "SELECT 'sync-users', 'completed', now() - i * interval '1 minute', now(), 1, "
        "jsonb_build_object('logs', repeat(md5(i::text), 1 + i % 40)) "
        "FROM generate_series(1, 6000) AS i"
    ),
    "expired-sessions": (
        "INSERT INTO sessions (user_id, expires_at, data) SELECT u.id, now() + (i - 500) * "
        "interval '1 hour', '{}' FROM users AS u, generate_series(1, 1000) AS i"
    ),
    "orphans": (
        "INSERT INTO similarity_validation_cache (source_id, target_id, source_type, target_type, "
        "is_valid, reason) SELECT gen_random_uuid(), m.id, 'movie', 'movie', true, "
        "repeat('x', i) FROM movies AS m, generate_series(1, 100) AS i"
    ),
}


@pytest.mark.parametrize("kind", FILL)
def test_rows_that_are_deleted_make_room_as_listed(sample_database: NewDatabase, kind: str) -> None:
    database = sample_database()
    execute(database, FILL[kind])
    report = listed(database)[kind]
    (part,) = report["tables"]
    table = part["table"]
    vacuum_full(database, table)
    report = listed(database)[kind]
    assert report["is_size_exact"] is False
    before = total_size(database, table)
    outcome = apply(database, kind, "--json")
    assert outcome.code == 0
    assert outcome.envelope["data"]["next_steps"] == [f"aperture-db vacuum --table {table}"]
    assert total_size(database, table) >= before
    vacuum_full(database, table)
    given_back = before - total_size(database, table)
    assert report["size_bytes"] == pytest.approx(given_back, rel=0.1)


def test_the_advised_vacuum_makes_room_for_new_rows(sample_database: NewDatabase) -> None:
    database = sample_database()
    execute(database, FILL["expired-sessions"])
    assert apply(database, "expired-sessions").code == 0
    heap = "SELECT pg_relation_size('sessions')"
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("VACUUM sessions")
        before = conn.execute(heap).fetchone()
        conn.execute(
            "INSERT INTO sessions (user_id, expires_at, data) SELECT u.id, now() + "
            "interval '1 hour', '{}' FROM users AS u, generate_series(1, 400) AS i"
        )
        assert conn.execute(heap).fetchone() == before
