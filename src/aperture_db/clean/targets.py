"""Selects the rows that belong to a kind: each target is a table and a query of sql/clean.sql.

The tables that a kind reads are those that its queries name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from psycopg import sql
from psycopg.rows import class_row

from aperture_db import aperture
from aperture_db import sql as queries
from aperture_db.clean import CleanLimits, Kind
from aperture_db.postgres.catalog import (
    Table,
    read_tables,
    readable_tables,
    visible_tables,
)
from aperture_db.postgres.session import Connection

BATCH_ROWS = 5_000
# A run can have thousands of candidates, which are deleted with it.
BATCH_RUNS = 25

QUERIES: Mapping[Kind, tuple[str, ...]] = {
    Kind.ORPHANS: ("clean/orphaned_verdicts",),
    Kind.EXPIRED_SESSIONS: ("clean/expired_sessions",),
    Kind.LEGACY_EMBEDDINGS: (),
    Kind.STALE_EMBEDDINGS: ("aperture/settings", "aperture/custom_model_dimension"),
    Kind.JOB_HISTORY: ("clean/job_history", "clean/runs_in_errors"),
    Kind.OLD_RUNS: (
        "clean/superseded_evidence",
        "clean/superseded_candidates",
        "clean/superseded_runs",
        "clean/superseded_discovery_runs",
    ),
    Kind.DEAD_JOBS: ("clean/dead_jobs",),
    Kind.OLD_CACHE: ("clean/old_pool_rows",),
    Kind.API_ERRORS: ("clean/old_errors",),
}
"""The queries of each kind whose tables are fixed; those over `{table}` apart."""
EVERY_ROW = "SELECT {columns} FROM {table} AS target"
DELETE_RUNS = ("clean/delete_evidence", "clean/delete_candidates", "clean/delete_runs")
"""The statements that delete a recommendation run with all that belongs to it, in order."""


@dataclass(frozen=True)
class CleanTarget:
    """The rows of one table that can be deleted."""

    table: Table
    query: str
    """Selects `{columns}` of the rows, as `target`."""
    parts: Mapping[str, sql.Composable] = field(default_factory=dict)
    may_truncate: bool = False
    """TRUNCATE is allowed when all rows can be deleted: no table refers to it."""
    deleted_with: str | None = None
    """The table whose rows take these along: they are counted here and deleted there."""
    statements: tuple[str, ...] = ()
    """Statements that delete the rows together with those that refer to them, in order."""
    batch_rows: int = BATCH_ROWS

    def select(self, columns: sql.Composable) -> sql.Composed:
        """Build the query for these columns of the rows, which it names `target`."""
        return sql.SQL(self.query).format(columns=columns, schema=queries.SCHEMA, **self.parts)


@dataclass(frozen=True)
class CleanContext:
    """The tables and the active model of the database."""

    tables: Mapping[str, Table]
    """Aperture's tables in this database, by name."""
    embedding_tables: tuple[aperture.EmbeddingTable, ...]
    active: aperture.ActiveModel | None

    @property
    def active_model(self) -> str | None:
        """The active model in words; equal only if its embeddings are kept in the same tables."""
        if self.active is None:
            return None
        dimension = self.active.dimension
        return f"{self.active.id} with {dimension} dimensions" if dimension else self.active.id

    def has(self, table: str, *columns: str) -> bool:
        return table in self.tables and set(columns) <= set(self.tables[table].columns)


@dataclass(frozen=True)
class Space:
    """The space of a table beyond that of an empty one."""

    data_bytes: int
    """Heap and TOAST."""
    index_bytes: int
    total_bytes: int
    """Of the whole table, with the space of an empty one."""


def table_of(query: str) -> str:
    """Return the table from which a named query selects or deletes rows."""
    found = re.search(r"\bFROM \{schema\}\.(\w+)", queries.load(query))
    assert found is not None, query
    return found[1]


def needed_tables(kind: Kind, context: CleanContext) -> list[Table]:
    """List the tables that a kind reads, where this version of Aperture has them."""
    names = {
        name
        for query in QUERIES[kind]
        for name in re.findall(r"\b(?:FROM|JOIN) \{schema\}\.(\w+)", queries.load(query))
    }
    if kind is Kind.OLD_CACHE:
        names |= {table.name for table in aperture.TABLES.values() if table.is_refetched}
    if kind in (Kind.LEGACY_EMBEDDINGS, Kind.STALE_EMBEDDINGS):
        legacy = kind is Kind.LEGACY_EMBEDDINGS
        names |= {table.name for table in context.embedding_tables if table.is_legacy is legacy}
    return [table for name, table in context.tables.items() if name in names]


def find_targets(kind: Kind, context: CleanContext) -> list[CleanTarget]:
    """List the rows of a kind, table by table; empty if this version has no such table."""
    match kind:
        case Kind.LEGACY_EMBEDDINGS:
            return list(_legacy(context))
        case Kind.STALE_EMBEDDINGS:
            return list(_stale(context))
        case Kind.JOB_HISTORY:
            return list(_job_history(context))
        case Kind.OLD_RUNS:
            return list(_old_runs(context))
        case Kind.OLD_CACHE:
            return list(_old_cache(context))
        case _:
            (query,) = QUERIES[kind]
            return list(_targets_of(context, query))


def _targets_of(
    context: CleanContext,
    query: str,
    parts: Mapping[str, sql.Composable] | None = None,
    deleted_with: str | None = None,
) -> Iterator[CleanTarget]:
    """Yield the target of a query, if the database has its table."""
    table = context.tables.get(table_of(query))
    if table:
        yield CleanTarget(table, queries.load(query), parts or {}, deleted_with=deleted_with)


def _legacy(context: CleanContext) -> Iterator[CleanTarget]:
    for embeddings in context.embedding_tables:
        if embeddings.is_legacy:
            parts = {"table": embeddings.identifier}
            yield CleanTarget(context.tables[embeddings.name], EVERY_ROW, parts, may_truncate=True)


def _stale(context: CleanContext) -> Iterator[CleanTarget]:
    """Yield nothing while the active model is unknown."""
    if context.active is None:
        return
    for embeddings in context.embedding_tables:
        if embeddings.is_legacy:
            continue
        kept = context.active.is_kept_in(embeddings)
        names = list(context.active.names_in(embeddings)) if kept else []
        parts = {"table": embeddings.identifier, "models": sql.Literal(names)}
        query = queries.load("clean/other_models") if kept else EVERY_ROW
        yield CleanTarget(context.tables[embeddings.name], query, parts, may_truncate=True)


def _job_history(context: CleanContext) -> Iterator[CleanTarget]:
    history, errors = QUERIES[Kind.JOB_HISTORY]
    referenced: sql.Composable = sql.SQL("SELECT NULL::uuid WHERE false")
    if context.has(table_of(errors), "job_id"):
        referenced = queries.compose(errors)
    yield from _targets_of(context, history, {"referenced": referenced})


def _old_runs(context: CleanContext) -> Iterator[CleanTarget]:
    evidence, candidates, runs, discovery_runs = QUERIES[Kind.OLD_RUNS]
    table = table_of(runs)
    if context.has(table, "user_id", "status"):
        keys = ["user_id"]
        if context.has(table, "media_type"):
            keys.append("media_type")
        run_of = sql.SQL(", ").join(map(sql.Identifier, keys))
        whole_runs = CleanTarget(
            context.tables[table],
            queries.load(runs),
            {"run_of": run_of},
            statements=DELETE_RUNS,
            batch_rows=BATCH_RUNS,
        )
        ids = {"runs": whole_runs.select(sql.SQL("target.id"))}
        yield from _targets_of(context, evidence, ids, table)
        yield from _targets_of(context, candidates, ids, table)
        yield whole_runs
    if context.has(table_of(discovery_runs), "media_type") and context.has(
        "discovery_candidates", "run_id"
    ):
        yield from _targets_of(context, discovery_runs)


def _old_cache(context: CleanContext) -> Iterator[CleanTarget]:
    for cache in aperture.TABLES.values():
        column = cache.age_column
        if cache.is_refetched and column and context.has(cache.name, column):
            table = context.tables[cache.name]
            parts = {"table": table.identifier, "refreshed_at": sql.Identifier(column)}
            yield CleanTarget(table, queries.load("clean/old_rows"), parts)
    (pool,) = QUERIES[Kind.OLD_CACHE]
    if context.has(table_of(pool), "updated_at") and context.has("discovery_candidates", "pool_id"):
        yield from _targets_of(context, pool)


def read_context(conn: Connection) -> CleanContext:
    """Read Aperture's tables and the model in use; none in any other database."""
    tables = read_tables(conn)
    visible = visible_tables(tables)
    if not aperture.is_aperture(visible):
        return CleanContext({}, (), None)
    embedding_tables = aperture.read_embedding_tables(conn)
    active = aperture.read_active_model(conn, embedding_tables, readable_tables(tables))
    return CleanContext(visible, tuple(embedding_tables), active)


def parameters(limits: CleanLimits) -> dict[str, object]:
    """Return the parameters of the queries in sql/clean.sql."""
    return {
        "runs_per_job": limits.runs_per_job,
        "cache_age_seconds": limits.cache_age_seconds,
        "error_age_seconds": limits.error_age_seconds,
        "dead_jobs": sorted(aperture.DEAD_JOBS),
    }


def read_space(conn: Connection, table: Table) -> Space:
    with conn.cursor(row_factory=class_row(Space)) as cursor:
        row = cursor.execute(queries.load("clean/space"), {"oid": table.oid}).fetchone()
    assert row is not None, table.name
    return row
