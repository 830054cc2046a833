"""Tables with an HNSW index: the faster way is offered, and works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from aperture_db.postgres.connection import MIB, BuildMemory, hnsw_build_bytes
from aperture_db.postgres.driver_errors import lacks_shared_memory, translate_query_error
from aperture_db.postgres.settings import resolve_target
from tests.cli import finish, start_cli
from tests.dump_files import make_dump
from tests.program import run_inside
from tests.vacuum.filling import delete_quarter, fill_embeddings, fill_movies, settle
from tests.vacuum.test_vacuum import results
from tests.waiting import wait_until

INDEX = "idx_embeddings_256_hnsw"
INDEX_FILE = f"SELECT oid, pg_relation_filenode(oid) FROM pg_class WHERE relname = '{INDEX}'"
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"


def test_the_faster_way_is_offered(embedded_database: str) -> None:
    planned = run_inside("vacuum", "--dry-run", database=embedded_database)
    offer = "aperture-db vacuum --reindex-hnsw --table embeddings_256"
    assert offer in planned.out
    done = run_inside("vacuum", "--table", "embeddings_256", database=embedded_database)
    assert done.code == 0
    assert "25.0 % of embeddings_256 is dead" in done.err
    assert offer in done.err
    again = run_inside("vacuum", "--dry-run", database=embedded_database)
    assert offer not in again.out


def test_reindex_rebuilds_where_rows_are_dead(embedded_database: str) -> None:
    with psycopg.connect(embedded_database, autocommit=True) as conn:
        before = conn.execute(INDEX_FILE).fetchone()
        outcome = run_inside("vacuum", "--reindex-hnsw", "--json", database=embedded_database)
        assert conn.execute(INDEX_FILE).fetchone() != before
        assert conn.execute(INVALID).fetchone() == (0,)
    assert outcome.code == 0
    table = results(outcome)["embeddings_256"]
    assert table["rebuilt_indexes"] == [INDEX]
    assert (table["before"]["dead_rows"], table["after"]["dead_rows"]) == (100, 0)
    assert results(outcome)["embeddings_384"]["rebuilt_indexes"] == []


def test_reindex_of_a_named_table_rebuilds_in_any_case(embedded_database: str) -> None:
    outcome = run_inside(
        "vacuum", "--reindex-hnsw", "--table", "embeddings_384", "--json",
        database=embedded_database,
    )  # fmt: skip
    assert outcome.code == 0
    assert results(outcome)["embeddings_384"]["rebuilt_indexes"] == ["idx_embeddings_384_hnsw"]


def test_reindex_through_a_pooler_says_to_connect_directly(
    embedded_database: str, pgbouncer_conninfo: Callable[[str], str]
) -> None:
    pooled = pgbouncer_conninfo(embedded_database)
    outcome = run_inside("vacuum", "--reindex-hnsw", database=pooled)
    assert outcome.code == 2
    assert "does not work through a connection pooler" in outcome.err


def test_a_rebuild_that_waits_in_vain_leaves_no_index(embedded_database: str) -> None:
    with psycopg.connect(embedded_database) as holder:
        # A snapshot that REINDEX CONCURRENTLY has to wait for.
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("SELECT count(*) FROM movies")
        outcome = run_inside(
            "vacuum", "--reindex-hnsw", "--table", "embeddings_256", "--lock-timeout", "300ms",
            database=embedded_database,
        )  # fmt: skip
        assert outcome.code == 1
        assert f"pid {holder.info.backend_pid}" in outcome.err
        with psycopg.connect(embedded_database) as conn:
            assert conn.execute(INVALID).fetchone() == (0,)


def test_an_interrupted_rebuild_leaves_no_index(embedded_database: str) -> None:
    with (
        psycopg.connect(embedded_database) as holder,
        psycopg.connect(embedded_database, autocommit=True) as conn,
    ):
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("SELECT count(*) FROM movies")
        process = start_cli(
            "vacuum", "--reindex-hnsw", "--table", "embeddings_256", "--lock-timeout", "60s",
            conninfo=embedded_database,
        )  # fmt: skip
        wait_until(lambda: conn.execute(INVALID).fetchone() == (1,), "the new index is being built")
        process.terminate()
        outcome = finish(process)
        assert outcome.code == 143
        assert "stopped at embeddings_256" in outcome.err
        assert conn.execute(INVALID).fetchone() == (0,)


def test_a_rebuild_whose_server_process_ends_names_what_it_left(embedded_database: str) -> None:
    options = ("vacuum", "--reindex-hnsw", "--table", "embeddings_256", "--lock-timeout", "60s")
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'REINDEX%' "
        "AND datname = current_database()"
    )
    with (
        psycopg.connect(embedded_database) as holder,
        psycopg.connect(embedded_database, autocommit=True) as conn,
    ):
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("SELECT count(*) FROM movies")
        process = start_cli(*options, conninfo=embedded_database)
        wait_until(lambda: conn.execute(INVALID).fetchone() == (1,), "the new index is being built")
        assert conn.execute(end).fetchone() == (True,)
        outcome = finish(process)
    assert outcome.code == 1
    command = f'DROP INDEX CONCURRENTLY "public"."{INDEX}_ccnew";'
    assert command in outcome.err
    # The next run names it, whatever is vacuumed, and also one that only shows its plan.
    for again in (("vacuum", "--dry-run"), ("vacuum", "--table", "embeddings_256"), options):
        done = run_inside(*again, database=embedded_database)
        assert done.code == 0, done.err
        assert command in " ".join(done.err.split())


def test_a_small_maintenance_work_mem_is_told(aperture_database: Callable[[], str]) -> None:
    database = aperture_database()
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET maintenance_work_mem = '1MB'")
        fill_movies(conn, 400)
        fill_embeddings(conn, models=4)
    outcome = run_inside("vacuum", "--reindex-hnsw", "--table", "embeddings_256", database=database)
    assert outcome.code == 0
    assert "maintenance_work_mem is 1 MB" in outcome.err
    assert "ALTER SYSTEM SET maintenance_work_mem = '7MB'" in outcome.err
    assert "shm_size: 128mb" in outcome.err


def test_postgresql_16_with_an_old_pgvector(old_pgvector: str) -> None:
    """The progress view of 16 counts no indexes; there is no halfvec yet, but HNSW."""
    with psycopg.connect(old_pgvector, autocommit=True) as conn:
        conn.execute("CREATE DATABASE vacuum_16")
    database = make_conninfo(old_pgvector, dbname="vacuum_16")
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION vector")
        conn.execute("CREATE TABLE movies (provider_item_id text, embedding vector(3))")
        conn.execute("CREATE INDEX nearest ON movies USING hnsw (embedding vector_cosine_ops)")
        conn.execute(
            "INSERT INTO movies "
            "SELECT i::text, ARRAY[i, 1, 2]::vector(3) FROM generate_series(1, 800) AS i"
        )
        settle(conn, "movies")
        delete_quarter(conn, 0)
    for options in ([], ["--reindex-hnsw", "--table", "movies"]):
        outcome = run_inside("vacuum", *options, "--json", database=database)
        assert outcome.code == 0
        assert results(outcome)["movies"]["after"]["dead_rows"] == 0


@pytest.fixture
def small_shm(embedded_database: str) -> str:
    """Parallel builds ask for more than any /dev/shm has, as 512 MB do for Docker's 64 MB."""
    with psycopg.connect(embedded_database, autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET maintenance_work_mem = '900GB'")
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET min_parallel_table_scan_size = 0")
    return embedded_database


def test_the_error_of_a_small_shm(small_shm: str) -> None:
    with psycopg.connect(small_shm) as conn, pytest.raises(psycopg.errors.DiskFull) as caught:
        conn.execute(f"REINDEX INDEX {INDEX}")
    assert lacks_shared_memory(caught.value)
    told = translate_query_error(caught.value, resolve_target(small_shm, None, {}))
    assert "shm_size: 9216" in told.next_step


@pytest.mark.parametrize("mode", [["--reindex-hnsw"], ["--full", "--confirm", "yes I am sure"]])
def test_a_small_shm_is_no_obstacle(mode: list[str], small_shm: str) -> None:
    outcome = run_inside("vacuum", *mode, "--table", "embeddings_256", "--json", database=small_shm)
    assert outcome.code == 0, outcome.err
    with psycopg.connect(small_shm) as conn:
        assert conn.execute(INVALID).fetchone() == (0,)


def test_a_restore_with_a_small_shm(small_shm: str, tmp_path: Path) -> None:
    dump = make_dump(small_shm, tmp_path)
    outcome = run_inside(
        "restore", str(dump.path), "--no-safety-backup", "--confirm", "yes I am sure",
        database=small_shm,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    ("dimensions", "measured_rows"), [(768, 28_400), (3072, 9_700)], ids=["768", "3072"]
)
def test_the_formula_fits_what_was_measured(dimensions: int, measured_rows: int) -> None:
    """64 MB held so many rows of halfvec with m = 16."""
    assert 64 * MIB < hnsw_build_bytes(measured_rows, dimensions * 2) < 64 * MIB * 1.15


@pytest.mark.parametrize(
    ("rows", "own", "is_default", "expected"),
    [
        # It fits: only the workers can be too many.
        (1_000, 64, True, [(64, "2"), (64, "0")]),
        # At most twice the server's own: better in parallel in two steps than serial.
        (40_000, 64, True, [(96, "2"), (64, "2"), (96, "0")]),
        (100_000, 64, True, [(231, "2"), (231, "0")]),
        (1_000_000, 64, True, [(512, "2"), (512, "0")]),
        # Somebody has chosen it.
        (40_000, 32, False, [(32, "2"), (32, "0")]),
        (40_000, 1_024, False, [(1_024, "2"), (1_024, "0")]),
    ],
)
def test_memory_is_fitted_to_an_index(
    rows: int, own: int, is_default: bool, expected: list[tuple[int, str]]
) -> None:
    memory = BuildMemory(1_536, rows, own * MIB, is_default, "2")
    tried = [
        (
            -(-int(each["maintenance_work_mem"][:-2]) // 1024),
            each["max_parallel_maintenance_workers"],
        )
        for each in memory.attempts()
    ]
    assert tried == expected
