"""Indexes that are missing, broken or there twice."""

from __future__ import annotations

from dataclasses import dataclass

from aperture_db.aperture import DUPLICATE_INDEXES, UNINDEXED_FOREIGN_KEYS
from aperture_db.format import format_bytes, plural, quote_identifier
from aperture_db.health.check import Outcome, check
from aperture_db.health.context import Context
from aperture_db.health.report import Area, Finding, Status, Thresholds, Unit
from aperture_db.health.upstream import REPORT_UPSTREAM
from aperture_db.postgres.catalog import ForeignKey, Table, read_foreign_keys

CONCURRENT_COPY_SUFFIXES = ("_ccnew", "_ccold")


@check(
    "foreign-key-indexes",
    Area.QUERIES,
    about="Foreign keys of large tables have an index: without one, every row deleted on the "
    "other side reads the whole table. The value is the rows of the largest table without.",
    source="the table's rows at its last ANALYZE, or counted; the five that Aperture itself "
    "lacks are info",
    thresholds=Thresholds(Unit.COUNT, warning=10_000),
)
def foreign_key_indexes(context: Context) -> Outcome:
    tables = {table.oid: table for table in context.tables()}
    keys = [key for key in read_foreign_keys(context.conn) if not key.is_indexed]
    findings = []
    largest = 0
    for key in keys:
        table = tables.get(key.table_oid)
        rows = _rows(context, table) if table else None
        if table is None or rows is None:
            continue
        largest = max(largest, rows)
        if (status := context.judge(rows)) is not Status.OK:
            findings.append(_unindexed(key, table, rows, status))
    return Outcome(
        f"{len(findings)} missing" if findings else "all there", largest, tuple(findings)
    )


def _rows(context: Context, table: Table) -> int | None:
    """Counted only as far as the threshold where there was no ANALYZE yet."""
    if table.analyzed_rows is not None or not table.may_count:
        return table.analyzed_rows
    limit = max(int(context.limits.warning or 0), int(context.limits.critical or 0)) + 1
    return context.number("row_counts", {"limit": limit}, table=table.identifier)


def _unindexed(key: ForeignKey, table: Table, rows: int, status: Status) -> Finding:
    columns = ", ".join(quote_identifier(column) for column in key.columns)
    name = f"{table.name}.{key.name}"
    reason = (
        f"{table.name} ({rows:,} rows) has no index on {', '.join(key.columns)} "
        f"for its foreign key {key.name}"
    )
    if (table.name, key.name) in UNINDEXED_FOREIGN_KEYS:
        return Finding(Status.INFO, reason, (REPORT_UPSTREAM,), object=name)
    qualified = f"{quote_identifier(table.schema)}.{quote_identifier(table.name)}"
    advice = (f"CREATE INDEX CONCURRENTLY ON {qualified} ({columns});",)
    return Finding(status, reason, advice, object=name)


@dataclass(frozen=True)
class Index:
    """A row of health/invalid_indexes.sql."""

    name: str
    """As SQL writes it."""
    index_name: str
    table_name: str
    size_bytes: int


@check(
    "invalid-indexes",
    Area.QUERIES,
    about="No index was left unusable by a CONCURRENTLY that failed or was cancelled.",
    source="pg_index.indisvalid, indisready; those being built now are left out",
)
def invalid_indexes(context: Context) -> Outcome:
    indexes = context.rows("invalid_indexes", Index)
    findings = tuple(_invalid(index) for index in indexes)
    return Outcome(f"{len(indexes)}" if indexes else "none", len(indexes), findings)


def _invalid(index: Index) -> Finding:
    reason = (
        f"{index.name} on {index.table_name} is not usable, and slows writes down; "
        f"it takes {format_bytes(index.size_bytes)}"
    )
    # A copy that REINDEX CONCURRENTLY left: the index itself is there and works.
    is_copy = any(suffix in index.index_name for suffix in CONCURRENT_COPY_SUFFIXES)
    verb = "DROP INDEX" if is_copy else "REINDEX INDEX"
    advice = (f"{verb} CONCURRENTLY {index.name};",)
    return Finding(Status.WARNING, reason, advice, object=index.index_name)


@dataclass(frozen=True)
class DuplicateIndex(Index):
    """A row of health/duplicate_indexes.sql."""

    same_as: str
    constraint: str | None
    """The one that needs it, as SQL writes it."""


@check(
    "duplicate-indexes",
    Area.QUERIES,
    about="No index equals another one of the same table.",
    source="pg_index; Aperture's own duplicates are info",
)
def duplicate_indexes(context: Context) -> Outcome:
    indexes = context.rows("duplicate_indexes", DuplicateIndex)
    own = [index for index in indexes if index.index_name in DUPLICATE_INDEXES]
    findings = [_duplicate(index) for index in indexes if index not in own]
    if own:
        size = format_bytes(sum(index.size_bytes for index in own))
        names = ", ".join(index.index_name for index in own)
        findings.append(
            Finding(
                Status.INFO,
                f"{plural(len(own), 'index', 'indexes')} of Aperture's own ({size}): {names}",
                (REPORT_UPSTREAM,),
                object="aperture",
            )
        )
    whose = ", Aperture's own" if own and len(own) == len(indexes) else ""
    summary = f"{len(indexes)}{whose}" if indexes else "none"
    return Outcome(summary, len(indexes), tuple(findings))


def _duplicate(index: DuplicateIndex) -> Finding:
    advice = f"DROP INDEX CONCURRENTLY {index.name};"
    if index.constraint:
        advice = f"ALTER TABLE {index.table_name} DROP CONSTRAINT {index.constraint};"
    return Finding(
        Status.WARNING,
        f"{index.name} on {index.table_name} is the same as {index.same_as}; "
        f"it takes {format_bytes(index.size_bytes)}",
        (advice,),
        object=index.index_name,
    )
