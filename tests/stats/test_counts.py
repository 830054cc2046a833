"""Every number against PostgreSQL's own answer to the same question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import psycopg
import pytest
from psycopg import sql

from aperture_db.postgres.catalog import read_sizes
from aperture_db.postgres.session import Connection as Session
from aperture_db.stats.collect import COUNTED_TABLES, collect, collect_tables
from aperture_db.stats.report import Count, Overview, TableStats, Unknown
from tests.stats.conftest import Open, OpenPlain

VERSIONS = ["0001", "0010", "0024", "0050", "0077", "0078", "0085", "0114"]
SIZES = """
    SELECT pg_total_relation_size(t), pg_indexes_size(t), pg_table_size(t),
           coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0)
    FROM (SELECT %s::regclass AS t) AS named JOIN pg_class ON oid = t
"""


def scalar(conn: Session, query: str | sql.Composable) -> int:
    """One number, with the path of psql."""
    with conn.transaction():
        conn.use_original_search_path()
        row = conn.execute(query).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


def assert_true(conn: Session, table: TableStats) -> None:
    name = sql.Identifier(table.schema, table.name)
    rows = scalar(conn, sql.SQL("SELECT count(*) FROM {}").format(name))
    assert table.count == Count(rows), table.name
    sizes = conn.execute(SIZES, [f"{table.schema}.{table.name}"]).fetchone()
    assert sizes is not None
    total, indexes, heap_and_toast, toast = sizes
    assert table.total_bytes == total
    assert table.index_bytes == indexes
    assert table.toast_bytes == toast
    assert table.heap_bytes == heap_and_toast - toast


def test_tables_against_postgresql(sample_database: Callable[[], str], reader: Open) -> None:
    conn = reader(sample_database())
    report = collect_tables(conn)
    listed = scalar(conn, "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND oid >= 16384")
    assert report.total.tables == len(report.tables) == listed
    for table in report.tables:
        assert_true(conn, table)
    assert report.total.count.rows == sum(table.count.rows or 0 for table in report.tables)
    assert report.total.total_bytes == sum(table.total_bytes or 0 for table in report.tables)
    assert [table.total_bytes for table in report.tables] == sorted(
        (table.total_bytes or 0 for table in report.tables), reverse=True
    )
    assert report.hints == ()


def test_overview_against_postgresql(sample_database: Callable[[], str], reader: Open) -> None:
    conn = reader(sample_database())
    report = collect(conn)
    for field, table in COUNTED_TABLES.items():
        rows = scalar(conn, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
        assert getattr(report.overview, field) == Count(rows), field
        assert rows > 0, f"the sample has no {field}"
    users = "SELECT count(*) FROM users WHERE is_enabled"
    assert report.overview.users_enabled.rows == scalar(conn, users)
    storage = report.storage
    size = "SELECT pg_database_size(current_database())"
    assert storage.database_bytes == scalar(conn, size)
    all_tables = "FROM pg_class WHERE relkind = 'r' AND oid >= 16384"
    assert storage.index_bytes == scalar(conn, f"SELECT sum(pg_indexes_size(oid)) {all_tables}")
    assert storage.table_bytes == scalar(conn, f"SELECT sum(pg_table_size(oid)) {all_tables}")
    embeddings = f"{all_tables} AND relname LIKE '%embeddings%'"
    assert storage.embeddings_bytes == scalar(
        conn, f"SELECT sum(pg_total_relation_size(oid)) {embeddings}"
    )
    assert storage.embeddings_vector_index_bytes == scalar(
        conn,
        "SELECT sum(pg_table_size(c.oid)) FROM pg_class c JOIN pg_am a ON a.oid = c.relam "
        "WHERE amname = 'hnsw'",
    )
    parts = (
        storage.embeddings_heap_bytes
        + storage.embeddings_toast_bytes
        + storage.embeddings_vector_index_bytes
        + storage.embeddings_other_index_bytes
    )
    assert storage.embeddings_bytes == parts
    assert sum(storage.group_bytes.values()) == storage.table_bytes + storage.index_bytes


def test_recommendations_are_what_users_see(
    sample_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = sample_database()
    admin = writer(conninfo)
    admin.execute("TRUNCATE recommendation_runs CASCADE")
    run = (
        "INSERT INTO recommendation_runs (user_id, media_type, status, created_at) "
        "SELECT id, %s, %s, %s FROM users ORDER BY id LIMIT 1 RETURNING id"
    )
    candidates = (
        "INSERT INTO recommendation_candidates (run_id, movie_id, rank, final_score, is_selected) "
        "SELECT %s, id, 1, 0.5, row_number() OVER () <= %s FROM movies LIMIT 10"
    )
    for media_type, status, created_at, selected in (
        ("movie", "completed", "2026-01-01", 9),
        ("movie", "completed", "2026-01-02", 4),
        ("movie", "failed", "2026-01-03", 8),
        ("series", "completed", "2026-01-01", 3),
    ):
        row = admin.execute(run, [media_type, status, created_at]).fetchone()
        assert row is not None
        admin.execute(candidates, [row[0], selected])
    overview = collect(reader(conninfo)).overview
    assert overview.recommendations == Count(4 + 3)
    assert overview.recommendation_candidates == Count(40)
    assert overview.recommendation_runs == Count(4)


@pytest.mark.parametrize("version", VERSIONS)
def test_any_version(version: str, database_at: Callable[[str], str], reader: Open) -> None:
    conn = reader(database_at(version))
    report = collect(conn)
    assert report.database.is_aperture
    assert report.database.migrations_applied == int(version)
    assert str(report.database.newest_migration).startswith(version)
    absent = {
        field.name
        for field in fields(Overview)
        if getattr(report.overview, field.name).unknown is Unknown.ABSENT
    }
    expected = {
        field
        for field, table in COUNTED_TABLES.items()
        if scalar(conn, f"SELECT count(to_regclass('{table}'))") == 0
    }
    assert absent & set(COUNTED_TABLES) == expected
    assert ("embeddings" in absent) == (version == "0001")
    for table in collect_tables(conn).tables:
        assert_true(conn, table)
    assert collect(conn, estimate=True).database.is_aperture
    assert collect_tables(conn, estimate=True).total.tables > 0


def test_empty_database(new_database: Callable[[], str], reader: Open) -> None:
    report = collect(reader(new_database()))
    assert not report.database.is_aperture
    assert report.storage.database_bytes
    assert {getattr(report.overview, f.name).unknown for f in fields(Overview)} == {Unknown.ABSENT}
    [hint] = report.hints
    assert hint.id == "not_aperture"
    assert hint.message == "this is not Aperture's database yet"
    assert hint.next == "aperture-db migrate"


def test_database_of_something_else(
    new_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = new_database()
    # The names are Aperture's, the tables are not.
    writer(conninfo).execute("CREATE TABLE movies (name text); CREATE TABLE users (email text)")
    report = collect(reader(conninfo))
    assert not report.database.is_aperture
    assert report.overview.movies.unknown is Unknown.ABSENT
    [hint] = report.hints
    assert hint.message == "this is not Aperture's database"
    assert "2 tables of another application" in hint.cause
    assert "table names would clash" in hint.next


def test_outside_the_search_path(
    aperture_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = aperture_database()
    with writer(conninfo) as admin:
        name, role = admin.info.dbname, admin.info.user
        admin.execute(f"ALTER DATABASE {name} SET search_path = elsewhere")
    [hint] = collect(reader(conninfo)).hints
    assert hint.message == (
        "Aperture's tables are in schema public, which is not in the search_path"
    )
    assert hint.next == (
        f'ALTER ROLE "{role}" IN DATABASE "{name}" SET search_path = public, "elsewhere";'
    )


def test_beside_other_tables(
    sample_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = sample_database()
    movies = collect(reader(conninfo)).overview.movies
    writer(conninfo).execute("""
        CREATE SCHEMA "Odd Name";
        CREATE TABLE "Odd Name"."100 %% {0}" AS SELECT generate_series(1, 7) AS n;
        CREATE SCHEMA other;
        CREATE TABLE other.movies AS SELECT generate_series(1, 5000) AS n;
        CREATE TABLE parted (n int) PARTITION BY RANGE (n);
        CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
        INSERT INTO parted SELECT generate_series(1, 50);
        CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM movies;
        CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS one WITH NO DATA;
        CREATE EXTENSION file_fdw;
        CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
        CREATE FOREIGN TABLE gone (line text) SERVER files OPTIONS (filename '/nonexistent');
    """)
    conn = reader(conninfo)
    assert collect(conn).overview.movies == movies
    tables = {(table.schema, table.name): table for table in collect_tables(conn).tables}
    assert tables["Odd Name", "100 %% {0}"].count == Count(7)
    assert tables["other", "movies"].count == Count(5000)
    assert tables["other", "movies"].group is None
    assert tables["public", "parted_1"].count == Count(50)
    assert tables["public", "counted"].count == Count(1)
    assert tables["public", "unfilled"].count.unknown is Unknown.ABSENT
    assert ("public", "parted") not in tables
    assert ("public", "gone") not in tables


def test_a_table_dropped_while_being_read(
    sample_database: Callable[[], str], reader: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    conninfo = sample_database()
    conn = reader(conninfo)

    def drop_then_read(*args: object) -> object:
        with psycopg.connect(conninfo, autocommit=True) as other:
            other.execute("DROP TABLE IF EXISTS embeddings_legacy")
        return read_sizes(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("aperture_db.stats.collect.read_sizes", drop_then_read)
    assert "embeddings_legacy" not in [table.name for table in collect_tables(conn).tables]
