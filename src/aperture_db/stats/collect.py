"""Reads what stats shows: the overview of the library, and every table with its space."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

from psycopg import sql

from aperture_db import aperture
from aperture_db.postgres.catalog import Database, Table, TableSize, read_database, read_sizes
from aperture_db.postgres.session import Connection
from aperture_db.stats import counting
from aperture_db.stats.counting import (
    Counts,
    Inventory,
    describe_database,
    migration_queries,
    plan_counts,
    read_past_locks,
    row_queries,
    run_count_queries,
    sum_counts,
)
from aperture_db.stats.coverage import (
    JobResult,
    counted_models,
    estimated_models,
    forget_reports_on_other_libraries,
    list_embeddings,
    measure_coverage,
    read_job_results,
    read_model_shares,
)
from aperture_db.stats.hints import (
    hint_about_database,
    hints_about_kept_data,
    hints_about_library,
    hints_about_location,
    hints_about_missing_tables,
    hints_about_unreadable_tables,
)
from aperture_db.stats.report import (
    Count,
    Coverage,
    Embeddings,
    Overview,
    StatsReport,
    Storage,
    TablesReport,
    TableStats,
    TableTotals,
    Unknown,
    unknown_count,
)

COUNTED_TABLES = {
    table.counted_as: table.name for table in aperture.TABLES.values() if table.counted_as
}
"""Fields of Overview that are the rows of a whole table."""
OTHER = "other"


def collect(conn: Connection, *, estimate: bool = False) -> StatsReport:
    """The overview; with `estimate`, large tables are not read.

    Needs no privilege: what the role may not read is marked so. A locked table is waited for two
    seconds and then left out. Opens its own transaction.
    """
    return read_past_locks(conn, partial(_read_overview, conn, estimate=estimate))


@dataclass(frozen=True)
class Reading:
    """The readings of one transaction, before they are put together."""

    inventory: Inventory
    database: Database
    sizes: Mapping[int, TableSize]
    embedding_tables: tuple[aperture.EmbeddingTable, ...]
    active: aperture.ActiveModel | None
    by_model: Collection[int]
    """Oids of the embedding tables whose rows were counted by model."""
    table_counts: Mapping[int, Count]
    """Rows of whole tables by oid."""
    counts: Counts

    def count(self, table_name: str) -> Count:
        table = self.inventory.visible.get(table_name)
        return self.table_counts[table.oid] if table else unknown_count(Unknown.ABSENT)

    def detail(self, source: str, *needed: str) -> Count:
        """The result of a count query for which these tables have to be read."""
        if source in self.counts:
            return Count(sum(self.counts[source].values()))
        for name in needed:
            if reason := self.inventory.why_unreadable(self.inventory.visible.get(name)):
                return unknown_count(reason)
            if name not in self.inventory.readable:
                return unknown_count(Unknown.NO_PRIVILEGE)
        return unknown_count(Unknown.NOT_COUNTED)


def _read_overview(conn: Connection, inventory: Inventory, *, estimate: bool) -> StatsReport:
    is_aperture = aperture.is_aperture(inventory.visible)
    tables = _needed_tables(inventory) if is_aperture else []
    reading = _count(conn, inventory, tables, estimate=estimate)
    embeddings = _embeddings(conn, reading, estimate=estimate)
    facts = describe_database(reading.database, inventory, reading.counts)
    coverage: tuple[Coverage, ...] = ()
    hints = list(hints_about_location(conn, inventory.tables))
    if not is_aperture:
        if not hints:
            hints.append(hint_about_database(facts, inventory.tables))
        # A table named movies is then not Aperture's.
        overview = _overview(replace(reading, inventory=Inventory((), {})))
    else:
        overview = _overview(reading)
        results: dict[str, JobResult] = {}
        if not estimate:
            if "job_runs" in inventory.readable:
                results = read_job_results(conn)
            coverage = forget_reports_on_other_libraries(
                conn,
                inventory,
                measure_coverage(inventory, reading.counts, results, reading.active),
            )
        hints += hints_about_missing_tables(facts, inventory)
        hints += hints_about_unreadable_tables(
            inventory, tables, reading.table_counts.values(), facts
        )
        hints += hints_about_library(overview, embeddings, coverage, results)
        hints += hints_about_kept_data(conn, inventory)
    return StatsReport(
        facts, overview, _storage(reading), embeddings, coverage, tuple(hints), not estimate
    )


def _needed_tables(inventory: Inventory) -> list[Table]:
    return [
        table
        for name, table in inventory.visible.items()
        if table.has_storage
        and (
            name in COUNTED_TABLES.values()
            or name in aperture.CONSULTED_TABLES
            or aperture.group_of(name) is aperture.Group.EMBEDDINGS
        )
    ]


def _count(
    conn: Connection, inventory: Inventory, tables: list[Table], *, estimate: bool
) -> Reading:
    """Count everything; of the tables, rows are counted for those in the overview."""
    sizes = read_sizes(conn, inventory.unlocked)
    embedding_tables: list[aperture.EmbeddingTable] = []
    active = None
    wanted: list[sql.Composed] = []
    if tables:
        embedding_tables = aperture.read_embedding_tables(conn)
        active = aperture.read_active_model(conn, embedding_tables, inventory.readable)
        wanted += counting.migration_queries(inventory)
        wanted += counting.detail_queries(inventory)
        if not estimate:
            wanted += counting.library_queries(inventory)
            wanted += counting.embedding_queries(inventory, embedding_tables, active)
    counted = [table for table in tables if table.name not in aperture.CONSULTED_TABLES]
    plan = plan_counts(inventory, counted, sizes, estimate=estimate)
    by_model = {table.oid for table in embedding_tables if table.name in inventory.readable} & {
        table.oid for table in plan.to_count
    }
    wanted += counting.row_queries(plan.to_count, by_model)
    counts = counting.run_count_queries(conn, wanted)
    return Reading(
        inventory,
        read_database(conn),
        sizes,
        tuple(embedding_tables),
        active,
        by_model,
        plan.table_counts(counts),
        counts,
    )


def _embeddings(conn: Connection, reading: Reading, *, estimate: bool) -> Embeddings:
    tables = reading.embedding_tables
    models = counted_models(reading.by_model, reading.counts)
    if estimate and tables:
        shares = read_model_shares(conn, tables)
        models = estimated_models(tables, reading.table_counts, shares) | models
    return list_embeddings(
        tables,
        reading.table_counts,
        models,
        reading.active,
        settings_were_read="system_settings" in reading.inventory.readable,
    )


def _overview(reading: Reading) -> Overview:
    counts = {field: reading.count(table) for field, table in COUNTED_TABLES.items()}
    return Overview(
        **counts,
        embeddings=sum_counts(reading.count(table.name) for table in reading.embedding_tables),
        movies_in_libraries=reading.detail("movies_in_libraries", "movies", "library_config"),
        series_in_libraries=reading.detail("series_in_libraries", "series", "library_config"),
        users_enabled=reading.detail("users_enabled", "users"),
        recommendations=reading.detail(
            "recommendations_shown", "recommendation_runs", "recommendation_candidates"
        ),
    )


def _storage(reading: Reading) -> Storage:
    sizes = reading.sizes
    embeddings = [sizes[table.oid] for table in reading.embedding_tables if table.oid in sizes]
    vector_bytes = sum(size.vector_index_bytes for size in embeddings)
    return Storage(
        database_bytes=reading.database.size_bytes,
        table_bytes=sum(size.heap_bytes + size.toast_bytes for size in sizes.values()),
        index_bytes=sum(size.index_bytes for size in sizes.values()),
        embeddings_bytes=sum(size.total_bytes for size in embeddings),
        embeddings_heap_bytes=sum(size.heap_bytes for size in embeddings),
        embeddings_toast_bytes=sum(size.toast_bytes for size in embeddings),
        embeddings_vector_index_bytes=vector_bytes,
        embeddings_other_index_bytes=sum(size.index_bytes for size in embeddings) - vector_bytes,
        group_bytes=_group_bytes(reading.inventory, sizes),
    )


def _group_bytes(inventory: Inventory, sizes: Mapping[int, TableSize]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for table in inventory.tables:
        if size := sizes.get(table.oid):
            group = aperture.group_of(table.name) if table.is_visible else None
            key = str(group or OTHER)
            sums[key] = sums.get(key, 0) + size.total_bytes
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


SIZES = [field.name for field in fields(TableTotals) if field.name.endswith("_bytes")]
"""The fields of TableStats and TableTotals that TableSize has under the same name."""


def collect_tables(conn: Connection, *, estimate: bool = False) -> TablesReport:
    """Tables of every schema, also those that are not Aperture's.

    Needs no privilege: what the role may not read is marked so. A locked table is waited for two
    seconds and then left out. Opens its own transaction.
    """
    return read_past_locks(conn, partial(_read_tables, conn, estimate=estimate))


def _read_tables(conn: Connection, inventory: Inventory, *, estimate: bool) -> TablesReport:
    tables = [table for table in inventory.tables if table.has_storage]
    sizes = read_sizes(conn, inventory.unlocked)
    plan = plan_counts(inventory, tables, sizes, estimate=estimate)
    counts = run_count_queries(conn, [*migration_queries(inventory), *row_queries(plan.to_count)])
    facts = describe_database(read_database(conn), inventory, counts)
    table_counts = plan.table_counts(counts)
    listed = [
        _describe_table(table, table_counts[table.oid], sizes.get(table.oid)) for table in tables
    ]
    listed.sort(key=lambda stats: (-(stats.total_bytes or 0), stats.schema, stats.name))
    return TablesReport(
        database=facts,
        tables=tuple(listed),
        total=_sum_tables(listed),
        hints=(
            *hints_about_location(conn, inventory.tables),
            *hints_about_unreadable_tables(inventory, tables, table_counts.values(), facts),
        ),
        is_exact=not estimate,
    )


def _describe_table(table: Table, count: Count, size: TableSize | None) -> TableStats:
    sizes: dict[str, int | None] = {name: getattr(size, name, None) for name in SIZES}
    return TableStats(
        schema=table.schema,
        name=table.name,
        group=aperture.group_of(table.name) if table.is_visible else None,
        count=count,
        dead_rows=table.dead_rows,
        **sizes,
    )


def _sum_tables(tables: Sequence[TableStats]) -> TableTotals:
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
