"""Slow queries, and indexes that are missing, invalid or duplicates."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from psycopg import sql

from aperture_db import aperture
from aperture_db import sql as queries
from aperture_db.aperture import DUPLICATE_INDEXES, UNINDEXED_FOREIGN_KEYS
from aperture_db.format import (
    format_bytes,
    format_percent,
    format_seconds,
    plural,
    quote_identifier,
)
from aperture_db.health.advice import (
    REPORT_UPSTREAM,
    change_at_start,
    enlarge_shared_buffers,
    is_managed,
)
from aperture_db.health.check import (
    CheckOutcome,
    Context,
    check,
    counted_days,
    need_other_sessions,
    refuse_unreadable,
)
from aperture_db.health.report import Area, Finding, Status, Thresholds, Unit
from aperture_db.postgres.catalog import ForeignKey, Table, read_foreign_keys

MIN_CALLS = 3
SHOWN_CHARACTERS = 60
EXPLAINED_CHARACTERS = 500
GENERIC_PLAN_SINCE = 160000

# Fewer blocks than a few hundred pages show: the ratio would only reflect the first start.
MIN_BLOCKS = 10_000
MIN_SCANNED_ROWS = 10_000
# A run of health every minute, with its counts, makes a quarter of that.
MIN_DAILY_SCANS = 50_000
CONCURRENT_COPY_SUFFIXES = ("_ccnew", "_ccold")


@dataclass(frozen=True)
class StatementsExtension:
    """A row of health/statements_extension."""

    schema: str | None
    is_loaded: bool


@dataclass(frozen=True)
class SlowStatement:
    """A row of health/slow_statements."""

    id: str
    user_oid: int
    database_oid: int
    calls: int
    mean_seconds: float
    text: str

    def reset(self, schema: str) -> str:
        """The statement that resets its statistics, so that it is measured again."""
        prefix = "" if schema == "public" else f"{quote_identifier(schema)}."
        arguments = f"{self.user_oid}, {self.database_oid}, {self.id}"
        return f"SELECT {prefix}pg_stat_statements_reset({arguments});"


@check(
    "slow-statements",
    Area.QUERIES,
    about=f"The mean time of statements that ran {MIN_CALLS} times or more, by pg_stat_statements.",
    source="users wait for most of Aperture's queries",
    thresholds=Thresholds(Unit.SECONDS, warning=1, critical=10),
)
def slow_statements(context: Context) -> CheckOutcome:
    extension = context.row("statements_extension", StatementsExtension)
    assert extension is not None
    if extension.schema is None or not extension.is_loaded:
        finding = _not_measured(context, extension)
        return CheckOutcome("not measured: no pg_stat_statements", None, (finding,))
    need_other_sessions(context)
    schema = sql.Identifier(extension.schema)
    statements = context.rows(
        "slow_statements", SlowStatement, {"min_calls": MIN_CALLS}, schema=schema
    )
    if not statements:
        return CheckOutcome("none yet", 0.0)
    slowest = statements[0].mean_seconds
    findings = tuple(
        _slow(context, statement, status, extension.schema)
        for statement in statements
        if (status := context.judge(statement.mean_seconds)) is not Status.OK
    )
    shown = format_seconds(slowest) if slowest >= 0.001 else "under 1 ms"
    return CheckOutcome(f"the slowest takes {shown}", slowest, findings)


def _not_measured(context: Context, extension: StatementsExtension) -> Finding:
    create: tuple[str, ...] = ()
    if extension.schema is None:
        create = ("CREATE EXTENSION IF NOT EXISTS pg_stat_statements;",)
    if extension.is_loaded:
        reason, advice = "pg_stat_statements is not installed in this database", create
    else:
        reason = "the server does not load pg_stat_statements"
        advice = (*_load_library(context), *create)
    return Finding(Status.INFO, f"{reason}, so slow statements are unknown", advice)


def _load_library(context: Context) -> tuple[str, ...]:
    """Keep the libraries that the server already loads; only some roles may see them."""
    name, library = "shared_preload_libraries", "pg_stat_statements"
    loaded = context.settings(name).get(name)
    if loaded is None or is_managed(context):
        where = "in the service's console" if is_managed(context) else "in postgresql.conf"
        return (f"add {library} to {name} {where}, and restart the server",)
    names = [word.strip().strip('"') for word in loaded.split(",") if word.strip()]
    return change_at_start(context, name, ", ".join(f"'{each}'" for each in [*names, library]))


def _slow(context: Context, statement: SlowStatement, status: Status, schema: str) -> Finding:
    text = statement.text
    if len(text) > SHOWN_CHARACTERS:
        text = f"{text[:SHOWN_CHARACTERS]}…"
    reason = f"{format_seconds(statement.mean_seconds)} on average of {statement.calls:,}: {text}"
    advice = [statement.reset(schema)]
    # On one line, a comment would take the rest of the statement with it.
    is_pasteable = len(statement.text) <= EXPLAINED_CHARACTERS and "--" not in statement.text
    if is_pasteable and context.conn.info.server_version >= GENERIC_PLAN_SINCE:
        advice.insert(0, f"EXPLAIN (GENERIC_PLAN) {statement.text.rstrip('; ')};")
    return Finding(status, reason, tuple(advice), object=statement.id)


@dataclass(frozen=True)
class CacheUse:
    """A row of health/cache_hits."""

    hit_blocks: int
    read_blocks: int
    shared_buffers_bytes: int


@check(
    "cache-hit-ratio",
    Area.QUERIES,
    about="Blocks found in shared buffers, of all that were needed since the statistics were "
    f"reset; from {MIN_BLOCKS:,} blocks on.",
    source="PostgreSQL's manual on shared_buffers; 99 % is usual for a database that fits",
    thresholds=Thresholds(Unit.PERCENT, warning=90, is_low_bad=True),
)
def cache_hit_ratio(context: Context) -> CheckOutcome:
    row = context.row("cache_hits", CacheUse)
    assert row is not None
    blocks = row.hit_blocks + row.read_blocks
    if blocks < MIN_BLOCKS:
        return CheckOutcome("too few blocks were read")
    share = row.hit_blocks / blocks
    percent = round(share * 100, 2)
    # Not the rounded value: a few blocks of many would pass for none.
    status = context.judge(share * 100)
    if status is Status.OK:
        return CheckOutcome(format_percent(share), percent)
    reason = (
        f"only {format_percent(share)} of what queries need is in shared_buffers "
        f"({format_bytes(row.shared_buffers_bytes)})"
    )
    advice = enlarge_shared_buffers(context, row.shared_buffers_bytes)
    return CheckOutcome(format_percent(share), percent, (Finding(status, reason, advice),))


@dataclass(frozen=True)
class ScannedTable:
    """A row of health/sequential_scans."""

    name: str
    table_name: str
    analyzed_rows: int
    sequential_scans: int
    index_scans: int

    @property
    def share(self) -> float:
        return self.sequential_scans / (self.sequential_scans + self.index_scans)


@check(
    "sequential-scans",
    Area.QUERIES,
    about=f"Tables of {MIN_SCANNED_ROWS:,} rows or more that are read by sequential scans "
    f"{MIN_DAILY_SCANS:,} times a day or more: their share of all scans.",
    source="pg_stat_user_tables; backups and counts make sequential scans too",
    thresholds=Thresholds(Unit.PERCENT, warning=50),
)
def sequential_scans(context: Context) -> CheckOutcome:
    days = counted_days(context)
    if days is None:
        return CheckOutcome("unknown since when")
    parameters = {"min_rows": MIN_SCANNED_ROWS, "min_scans": MIN_DAILY_SCANS * days}
    tables = context.rows("sequential_scans", ScannedTable, parameters)
    worst = max((table.share for table in tables), default=0.0)
    findings = tuple(
        _scanned(table, status)
        for table in tables
        if (status := context.judge(table.share * 100)) is not Status.OK
    )
    return CheckOutcome(
        plural(len(findings), "large table") if findings else "none",
        round(worst * 100, 1),
        findings,
    )


def _scanned(table: ScannedTable, status: Status) -> Finding:
    reason = (
        f"{table.name} with {table.analyzed_rows:,} rows had {table.sequential_scans:,} "
        f"sequential scans, {format_percent(table.share)} of all its scans"
    )
    if aperture.group_of(table.table_name):
        return Finding(Status.INFO, reason, (REPORT_UPSTREAM,), object=table.table_name)
    advice = "CREATE INDEX CONCURRENTLY on the columns that queries filter by"
    return Finding(status, reason, (advice,), object=table.table_name)


@check(
    "foreign-key-indexes",
    Area.QUERIES,
    about="Foreign keys of large tables have an index: without one, every row deleted on the "
    "other side reads the whole table. The value is the rows of the largest table without.",
    source="the table's rows at its last ANALYZE, or counted; the five that Aperture's schema "
    "lacks are info",
    thresholds=Thresholds(Unit.COUNT, warning=10_000),
)
def foreign_key_indexes(context: Context) -> CheckOutcome:
    tables = {table.oid: table for table in context.tables()}
    keys = [key for key in read_foreign_keys(context.conn) if not key.is_indexed]
    referring = {key.table_oid for key in keys}
    row_counts = _count_rows(context, [tables[oid] for oid in referring if oid in tables])
    findings = []
    largest = 0
    for key in keys:
        if (rows := row_counts.get(key.table_oid)) is None:
            continue
        table = tables[key.table_oid]
        largest = max(largest, rows)
        if (status := context.judge(rows)) is not Status.OK:
            findings.append(_unindexed(key, table, rows, status))
    return CheckOutcome(
        f"{len(findings)} missing" if findings else "all present", largest, tuple(findings)
    )


def _count_rows(context: Context, tables: Collection[Table]) -> dict[int, int]:
    """The rows of tables by oid, as far as known: at the last ANALYZE, or where there was none yet
    counted only as far as the threshold."""
    limit = max(int(context.limits.warning or 0), int(context.limits.critical or 0)) + 1
    counts = [
        queries.compose(
            "health/count_rows",
            oid=sql.Literal(table.oid),
            table=table.identifier,
            limit=sql.Literal(limit),
        )
        for table in tables
        if table.analyzed_rows is None and table.may_count
    ]
    known = {t.oid: t.analyzed_rows for t in tables if t.analyzed_rows is not None}
    return known | dict(context.conn.fetch_counts(counts))


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


@check(
    "never-analyzed",
    Area.QUERIES,
    about="Large tables were analyzed, after a restore or an upgrade too: without statistics, "
    "queries get bad plans. The value is the rows of the largest table without.",
    source="pg_stats; autovacuum analyzes within minutes, where it is on",
    thresholds=Thresholds(Unit.COUNT, warning=10_000),
)
def never_analyzed(context: Context) -> CheckOutcome:
    unknown = {oid for (oid,) in context.conn.execute(queries.compose("health/never_analyzed"))}
    tables = [table for table in context.tables() if table.oid in unknown]
    refuse_unreadable(context, [table for table in tables if not table.may_select])
    row_counts = _count_rows(context, tables)
    findings = []
    for table in tables:
        rows = row_counts.get(table.oid, 0)
        if (status := context.judge(rows)) is not Status.OK:
            reason = f"{table.name} with {rows:,} rows or more was never analyzed"
            name = f"{quote_identifier(table.schema)}.{quote_identifier(table.name)}"
            findings.append(Finding(status, reason, (f"ANALYZE {name};",), object=table.name))
    summary = plural(len(findings), "large table") if findings else "none"
    return CheckOutcome(summary, max(row_counts.values(), default=0), tuple(findings))


@dataclass(frozen=True)
class InvalidIndex:
    """A row of health/invalid_indexes."""

    name: str
    """As SQL writes it."""
    index_name: str
    table_name: str
    size_bytes: int


@check(
    "invalid-indexes",
    Area.QUERIES,
    about="No index was left invalid by a CREATE INDEX or REINDEX CONCURRENTLY that failed.",
    source="pg_index.indisvalid, indisready; indexes being built are left out",
)
def invalid_indexes(context: Context) -> CheckOutcome:
    indexes = context.rows("invalid_indexes", InvalidIndex)
    findings = tuple(_invalid(index) for index in indexes)
    return CheckOutcome(f"{len(indexes)}" if indexes else "none", len(indexes), findings)


def _invalid(index: InvalidIndex) -> Finding:
    reason = (
        f"{index.name} on {index.table_name} is invalid: queries don't use it, writes maintain it; "
        f"it takes {format_bytes(index.size_bytes)}"
    )
    # A copy that REINDEX CONCURRENTLY left: the index itself is there and works.
    is_copy = any(suffix in index.index_name for suffix in CONCURRENT_COPY_SUFFIXES)
    verb = "DROP INDEX" if is_copy else "REINDEX INDEX"
    advice = (f"{verb} CONCURRENTLY {index.name};",)
    return Finding(Status.WARNING, reason, advice, object=index.index_name)


@dataclass(frozen=True)
class DuplicateIndex(InvalidIndex):
    """A row of health/duplicate_indexes."""

    same_as: str
    constraint: str | None
    """The one that needs it, as SQL writes it."""


@check(
    "duplicate-indexes",
    Area.QUERIES,
    about="No index duplicates another one of the same table.",
    source="pg_index; Aperture's own duplicates are info",
)
def duplicate_indexes(context: Context) -> CheckOutcome:
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
    return CheckOutcome(summary, len(indexes), tuple(findings))


def _duplicate(index: DuplicateIndex) -> Finding:
    advice = f"DROP INDEX CONCURRENTLY {index.name};"
    if index.constraint:
        advice = f"ALTER TABLE {index.table_name} DROP CONSTRAINT {index.constraint};"
    return Finding(
        Status.WARNING,
        f"{index.name} on {index.table_name} is a duplicate of {index.same_as}; "
        f"it takes {format_bytes(index.size_bytes)}",
        (advice,),
        object=index.index_name,
    )
