"""How queries fare."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from aperture_db import aperture
from aperture_db.format import (
    format_bytes,
    format_percent,
    format_seconds,
    plural,
    quote_identifier,
)
from aperture_db.health.changing import change_at_start, enlarge_shared_buffers, is_managed
from aperture_db.health.check import Outcome, check
from aperture_db.health.context import Context
from aperture_db.health.report import Area, Finding, Status, Thresholds, Unit
from aperture_db.health.requirements import counted_days, need_other_sessions
from aperture_db.health.upstream import REPORT_UPSTREAM

MIN_CALLS = 3
SHOWN_CHARACTERS = 60
EXPLAINED_CHARACTERS = 500
GENERIC_PLAN_SINCE = 160000

# Less has been read than a few hundred pages show: the ratio would only tell of the first start.
MIN_BLOCKS = 10_000
MIN_SCANNED_ROWS = 10_000
# A run of health every minute, with its counts, makes a quarter of that.
MIN_DAILY_SCANS = 50_000


@dataclass(frozen=True)
class StatementsExtension:
    """A row of health/statements_extension.sql."""

    schema: str | None
    is_loaded: bool


@dataclass(frozen=True)
class Statement:
    """A row of health/slow_statements.sql."""

    id: str
    user_oid: int
    database_oid: int
    calls: int
    mean_seconds: float
    total_seconds: float
    text: str

    def reset(self, schema: str) -> str:
        """The statement that forgets it, so that it is measured anew."""
        prefix = "" if schema == "public" else f"{quote_identifier(schema)}."
        arguments = f"{self.user_oid}, {self.database_oid}, {self.id}"
        return f"SELECT {prefix}pg_stat_statements_reset({arguments});"


@check(
    "slow-statements",
    Area.QUERIES,
    about=f"The mean time of statements that ran {MIN_CALLS} times or more, by pg_stat_statements.",
    source="a user waits for most of Aperture's queries",
    thresholds=Thresholds(Unit.SECONDS, warning=1, critical=10),
)
def slow_statements(context: Context) -> Outcome:
    extension = context.row("statements_extension", StatementsExtension)
    assert extension is not None
    if extension.schema is None or not extension.is_loaded:
        finding = _not_measured(context, extension)
        return Outcome("not measured: no pg_stat_statements", None, (finding,))
    need_other_sessions(context)
    schema = sql.Identifier(extension.schema)
    statements = context.rows("slow_statements", Statement, {"min_calls": MIN_CALLS}, schema=schema)
    if not statements:
        return Outcome("none yet", 0.0)
    slowest = statements[0].mean_seconds
    findings = tuple(
        _slow(context, statement, status, extension.schema)
        for statement in statements
        if (status := context.judge(statement.mean_seconds)) is not Status.OK
    )
    shown = format_seconds(slowest) if slowest >= 0.001 else "under 1 ms"
    return Outcome(f"the slowest takes {shown}", slowest, findings)


def _not_measured(context: Context, extension: StatementsExtension) -> Finding:
    create: tuple[str, ...] = ()
    if extension.schema is None:
        create = ("CREATE EXTENSION IF NOT EXISTS pg_stat_statements;",)
    if extension.is_loaded:
        reason, advice = "pg_stat_statements is not installed in this database", create
    else:
        reason = "the server does not load pg_stat_statements"
        advice = (*_load_library(context), *create)
    return Finding(Status.INFO, f"{reason}, so slow statements stay unknown", advice)


def _load_library(context: Context) -> tuple[str, ...]:
    """The libraries that the server loads already stay; only some roles may see which."""
    name, library = "shared_preload_libraries", "pg_stat_statements"
    loaded = context.settings(name).get(name)
    if loaded is None or is_managed(context):
        where = "in the service's console" if is_managed(context) else "in postgresql.conf"
        return (f"add {library} to {name} {where}, and restart the server",)
    names = [word.strip().strip('"') for word in loaded.split(",") if word.strip()]
    return change_at_start(context, name, ", ".join(f"'{each}'" for each in [*names, library]))


def _slow(context: Context, statement: Statement, status: Status, schema: str) -> Finding:
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
    """A row of health/cache_hits.sql."""

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
def cache_hit_ratio(context: Context) -> Outcome:
    row = context.row("cache_hits", CacheUse)
    assert row is not None
    blocks = row.hit_blocks + row.read_blocks
    if blocks < MIN_BLOCKS:
        return Outcome("too little was read to tell")
    share = row.hit_blocks / blocks
    percent = round(share * 100, 2)
    status = context.judge(percent)
    if status is Status.OK:
        return Outcome(format_percent(share), percent)
    reason = (
        f"only {format_percent(share)} of what queries need is in shared_buffers "
        f"({format_bytes(row.shared_buffers_bytes)})"
    )
    advice = enlarge_shared_buffers(context, row.shared_buffers_bytes)
    return Outcome(format_percent(share), percent, (Finding(status, reason, advice),))


@dataclass(frozen=True)
class ScannedTable:
    """A row of health/sequential_scans.sql."""

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
    about=f"Tables of {MIN_SCANNED_ROWS:,} rows or more that are read from end to end "
    f"{MIN_DAILY_SCANS:,} times a day or more: the share of such scans in all.",
    source="pg_stat_user_tables; backups and counts read a table from end to end too",
    thresholds=Thresholds(Unit.PERCENT, warning=50),
)
def sequential_scans(context: Context) -> Outcome:
    days = counted_days(context)
    if days is None:
        return Outcome("since when is not known")
    parameters = {"min_rows": MIN_SCANNED_ROWS, "min_scans": MIN_DAILY_SCANS * days}
    tables = context.rows("sequential_scans", ScannedTable, parameters)
    worst = max((table.share for table in tables), default=0.0)
    findings = tuple(
        _scanned(table, status)
        for table in tables
        if (status := context.judge(table.share * 100)) is not Status.OK
    )
    return Outcome(
        plural(len(findings), "large table") if findings else "none",
        round(worst * 100, 1),
        findings,
    )


def _scanned(table: ScannedTable, status: Status) -> Finding:
    reason = (
        f"{table.name} with {table.analyzed_rows:,} rows was read from end to end "
        f"{table.sequential_scans:,} times, {format_percent(table.share)} of its scans"
    )
    if aperture.group_of(table.table_name):
        return Finding(Status.INFO, reason, (REPORT_UPSTREAM,), object=table.table_name)
    advice = "CREATE INDEX CONCURRENTLY on the columns that queries filter by"
    return Finding(status, reason, (advice,), object=table.table_name)
