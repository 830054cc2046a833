"""Every table with its rows and its disk space."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from aperture_db import aperture
from aperture_db.postgres.catalog import Table, TableSize, read_database, read_sizes
from aperture_db.postgres.connection import Connection
from aperture_db.stats.counting import plan_counts
from aperture_db.stats.facts import state_facts
from aperture_db.stats.inventory import Inventory, read_past_locks
from aperture_db.stats.obstacles import hints_about_obstacles
from aperture_db.stats.questions import ask, migration_questions, row_questions
from aperture_db.stats.report import Count, TablesReport, TableStats, TableTotals


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
    answers = ask(conn, [*migration_questions(inventory), *row_questions(plan.to_count)])
    facts = state_facts(read_database(conn), inventory, answers)
    counts = plan.counts(answers)
    listed = [_state(table, counts[table.oid], sizes.get(table.oid)) for table in tables]
    listed.sort(key=lambda stats: (-(stats.total_bytes or 0), stats.schema, stats.name))
    return TablesReport(
        database=facts,
        tables=tuple(listed),
        total=_sum(listed),
        hints=tuple(hints_about_obstacles(inventory, tables, counts.values(), facts)),
        is_exact=not estimate,
    )


def _state(table: Table, count: Count, size: TableSize | None) -> TableStats:
    return TableStats(
        schema=table.schema,
        name=table.name,
        group=aperture.group_of(table.name) if table.is_visible else None,
        count=count,
        heap_bytes=size.heap_bytes if size else None,
        index_bytes=size.index_bytes if size else None,
        toast_bytes=size.toast_bytes if size else None,
        total_bytes=size.total_bytes if size else None,
        dead_rows=table.dead_rows,
    )


def _sum(tables: Sequence[TableStats]) -> TableTotals:
    known = [table for table in tables if table.count.rows is not None]
    dead_rows = [table.dead_rows for table in tables if table.dead_rows is not None]
    return TableTotals(
        tables=len(tables),
        count=Count(
            sum(table.count.rows or 0 for table in tables),
            exact=all(table.count.exact for table in known),
        ),
        is_complete=len(known) == len(tables),
        heap_bytes=sum(table.heap_bytes or 0 for table in tables),
        index_bytes=sum(table.index_bytes or 0 for table in tables),
        toast_bytes=sum(table.toast_bytes or 0 for table in tables),
        total_bytes=sum(table.total_bytes or 0 for table in tables),
        dead_rows=sum(dead_rows) if dead_rows else None,
    )
