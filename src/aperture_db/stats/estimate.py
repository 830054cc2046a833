"""Rows without reading them."""

from __future__ import annotations

from collections.abc import Iterable

from aperture_db import sql as queries
from aperture_db.aperture import EmbeddingTable
from aperture_db.postgres.catalog import Table, TableSize
from aperture_db.postgres.connection import Connection
from aperture_db.stats.report import Count, Unknown, unknown_count

# 64 MB with PostgreSQL's usual block size; such a table is counted in some ten milliseconds.
QUICK_PAGES = 8192


def estimate_rows(table: Table, size: TableSize | None) -> Count | None:
    """Rows by PostgreSQL's own estimate: the density at the last ANALYZE, times today's pages, as
    the planner does. None for a table that has no such estimate, but is counted quickly.
    """
    if size is None:
        return unknown_count(Unknown.NOT_ANALYZED)
    if size.pages == 0:
        return Count(0)
    if table.analyzed_rows and table.analyzed_pages:
        density = table.analyzed_rows / table.analyzed_pages
        return Count(round(density * size.pages), exact=False)
    if size.pages <= QUICK_PAGES:
        return None
    return unknown_count(Unknown.NOT_ANALYZED)


def read_model_shares(
    conn: Connection, tables: Iterable[EmbeddingTable]
) -> dict[tuple[str, str], dict[str, float]]:
    """The share of each model in tables of embeddings, by schema and name of the table. A table
    that was never analyzed, or can't be selected from, is missing."""
    wanted = list(tables)
    parameters = {
        "schemas": [table.schema for table in wanted],
        "names": [table.name for table in wanted],
    }
    shares: dict[tuple[str, str], dict[str, float]] = {}
    rows = conn.execute(queries.load("stats/model_shares"), parameters)
    for schema, name, model, share in rows:
        shares.setdefault((schema, name), {})[model] = share
    return shares
