"""Every table with its rows and its disk space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial

from aperture_db import aperture
from aperture_db.postgres.catalog import Table, TableSize, read_database, read_sizes
from aperture_db.postgres.session import Connection
from aperture_db.stats.count_queries import (
    describe_database,
    migration_queries,
    plan_counts,
    row_queries,
    run_count_queries,
)
from aperture_db.stats.hints import hints_about_unreadable_tables
from aperture_db.stats.inventory import Inventory, read_past_locks
from aperture_db.stats.report import Count, TablesReport, TableStats, TableTotals

SIZES = [field.name for field in fields(TableTotals) if field.name.endswith("_bytes")]
"""The fields of TableStats and TableTotals that TableSize has under the same name."""


def collect_tables(conn: Connection, *, estimate: bool = False) -> TablesReport:
    """Tables of every schema, also those that are not Aperture's.

    Needs no privilege: what the role may not read is marked so. A locked table is waited for two
    seconds and then left out. Opens its own transaction.
    """
    return read_past_locks(conn, partial(_read, conn, estimate=estimate))


def _read(conn: Connection, inventory: Inventory, *, estimate: bool) -> TablesReport:
    tables = [table for table in inventory.tables if table.has_storage]
    sizes = read_sizes(conn, inventory.unlocked)
    plan = plan_counts(inventory, tables, sizes, estimate=estimate)
    counts = run_count_queries(conn, [*migration_queries(inventory), *row_queries(plan.to_count)])
    facts = describe_database(read_database(conn), inventory, counts)
    table_counts = plan.table_counts(counts)
    listed = [_describe(table, table_counts[table.oid], sizes.get(table.oid)) for table in tables]
    listed.sort(key=lambda stats: (-(stats.total_bytes or 0), stats.schema, stats.name))
    return TablesReport(
        database=facts,
        tables=tuple(listed),
        total=_sum(listed),
        hints=tuple(hints_about_unreadable_tables(inventory, tables, table_counts.values(), facts)),
        is_exact=not estimate,
    )


def _describe(table: Table, count: Count, size: TableSize | None) -> TableStats:
    sizes: dict[str, int | None] = {name: getattr(size, name, None) for name in SIZES}
    return TableStats(
        schema=table.schema,
        name=table.name,
        group=aperture.group_of(table.name) if table.is_visible else None,
        count=count,
        dead_rows=table.dead_rows,
        **sizes,
    )


def _sum(tables: Sequence[TableStats]) -> TableTotals:
    known = [table for table in tables if table.count.rows is not None]
    dead_rows = [table.dead_rows for table in tables if table.dead_rows is not None]
    sizes = {name: sum(getattr(table, name) or 0 for table in tables) for name in SIZES}
    return TableTotals(
        tables=len(tables),
        count=Count(
            sum(table.count.rows or 0 for table in tables),
            exact=all(table.count.exact for table in known),
        ),
        is_complete=len(known) == len(tables),
        dead_rows=sum(dead_rows) if dead_rows else None,
        **sizes,
    )
