"""Estimates: from the last ANALYZE, marked, and never a zero that nobody has counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aperture_db.stats.collect import collect, collect_tables
from aperture_db.stats.report import Count, EmbeddingState, Unknown
from tests.stats.conftest import Open, OpenPlain
from tests.stats.rows import add_movies, add_users


def test_never_analyzed_tables_are_counted_or_unknown(
    aperture_database: Callable[[], str],
    reader: Open,
    writer: OpenPlain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conninfo = aperture_database()
    add_movies(writer(conninfo), 300)
    overview = collect(reader(conninfo), estimate=True).overview
    assert overview.movies == Count(300)
    assert overview.series == Count(0)
    monkeypatch.setattr("aperture_db.stats.counting.QUICK_PAGES", 0)
    report = collect(reader(conninfo), estimate=True)
    assert report.overview.movies == Count(None, exact=False, unknown=Unknown.NOT_ANALYZED)
    # Without a single page there is nothing to count.
    assert report.overview.series == Count(0)
    [hint] = report.hints
    assert hint.id == "not_analyzed"
    assert hint.message == "there is no estimate for 1 table"
    assert hint.next == "ANALYZE;"


def test_analyzed_tables_are_estimated(
    aperture_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = aperture_database()
    admin = writer(conninfo)
    add_movies(admin, 300)
    admin.execute("ANALYZE movies")
    conn = reader(conninfo)
    assert collect(conn, estimate=True).overview.movies == Count(300, exact=False)
    row = conn.execute("SELECT reltuples FROM pg_class WHERE relname = 'movies'").fetchone()
    assert row == (300,)
    tables = collect_tables(conn, estimate=True)
    assert not tables.is_exact
    [movies] = [table for table in tables.tables if table.name == "movies"]
    assert movies.count == Count(300, exact=False)
    assert not tables.total.count.exact


def test_estimate_follows_the_growth_of_the_table(
    aperture_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = aperture_database()
    admin = writer(conninfo)
    admin.execute("ALTER TABLE users SET (autovacuum_enabled = off)")
    add_users(admin, 1000)
    admin.execute("ANALYZE users")
    add_users(admin, 3000)
    estimate = collect(reader(conninfo), estimate=True).overview.users
    assert not estimate.exact
    assert 3500 < (estimate.rows or 0) < 4500


def test_table_that_was_empty_when_analyzed(
    aperture_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = aperture_database()
    admin = writer(conninfo)
    admin.execute("ANALYZE movies")
    add_movies(admin, 30)
    assert collect(reader(conninfo), estimate=True).overview.movies == Count(30)


def test_embeddings_by_model(
    sample_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = sample_database()
    writer(conninfo).execute("ANALYZE")
    exact = collect(reader(conninfo))
    estimated = collect(reader(conninfo), estimate=True)
    assert not estimated.is_exact
    assert estimated.embeddings.active_model == exact.embeddings.active_model
    assert {item.state for item in estimated.embeddings.sets} == {
        EmbeddingState.ACTIVE,
        EmbeddingState.STALE,
    }
    assert [(item.table, item.model, item.count.rows) for item in estimated.embeddings.sets] == [
        (item.table, item.model, item.count.rows) for item in exact.embeddings.sets
    ]
    assert not any(item.count.exact for item in estimated.embeddings.sets)
    assert estimated.coverage == ()
    assert [hint.message for hint in estimated.hints] == [
        f"~{exact.embeddings.rows_in(EmbeddingState.STALE)} embeddings are stale"
    ]


def test_estimates_need_no_privilege(
    sample_database: Callable[[], str],
    limited_role: Callable[[str, str], str],
    reader: Open,
    writer: OpenPlain,
) -> None:
    conninfo = sample_database()
    writer(conninfo).execute("ANALYZE")
    overview = collect(reader(limited_role(conninfo, "none")), estimate=True).overview
    assert overview.movies == collect(reader(conninfo), estimate=True).overview.movies
    assert overview.users_enabled.unknown is Unknown.NO_PRIVILEGE
