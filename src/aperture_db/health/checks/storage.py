"""How disk space is used, and whether it is given back."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from aperture_db.format import format_bytes, format_percent, quote_identifier, vacuum_command
from aperture_db.health.check import Outcome, SkippedError, check
from aperture_db.health.context import Context
from aperture_db.health.report import Area, Cause, Finding, Status, Thresholds, Unit
from aperture_db.health.requirements import need_primary

HNSW_DEAD_SHARE = 0.05
# Below that, a share says nothing.
MIN_DEAD_ROWS = 50

MIN_BLOAT_TABLE_BYTES = 10 << 20
MIN_BLOAT_BYTES = 50 << 20

WRAPAROUND = 2**31


@dataclass(frozen=True)
class DeadRows:
    """A row of health/dead_rows.sql."""

    name: str
    """As SQL writes it."""
    table_name: str
    vacuum_name: str
    """As `vacuum --table` knows it."""
    live_rows: int
    dead_rows: int
    autovacuum_rows: float
    """At so many dead rows autovacuum acts."""
    has_hnsw: bool
    is_being_vacuumed: bool

    @property
    def limit(self) -> float:
        if not self.has_hnsw:
            return max(self.autovacuum_rows, 1)
        share = HNSW_DEAD_SHARE * (self.live_rows + self.dead_rows)
        return max(min(self.autovacuum_rows, max(share, MIN_DEAD_ROWS)), 1)

    @property
    def percent_of_limit(self) -> float:
        return self.dead_rows / self.limit * 100


@check(
    "dead-rows",
    Area.STORAGE,
    about="Dead rows of each table, in percent of those at which autovacuum acts; of a table "
    f"with an HNSW index, in percent of {HNSW_DEAD_SHARE:.0%} of its rows if that is less.",
    source="pg_stat_user_tables and the effective autovacuum settings; dead rows make HNSW "
    "searches return fewer rows than asked for",
    thresholds=Thresholds(Unit.PERCENT, warning=100),
)
def dead_rows(context: Context) -> Outcome:
    need_primary(context, "the dead rows")
    tables = context.rows("dead_rows", DeadRows)
    total = sum(table.dead_rows for table in tables)
    worst = max((table.percent_of_limit for table in tables), default=0.0)
    findings = tuple(
        _dead(table, status)
        for table in tables
        if (status := context.judge(table.percent_of_limit)) is not Status.OK
    )
    return Outcome(f"{total:,}" if total else "none", round(worst, 1), findings)


def _dead(table: DeadRows, status: Status) -> Finding:
    share = table.dead_rows / max(table.live_rows + table.dead_rows, 1)
    reason = f"{table.name} has {table.dead_rows:,} dead rows, {format_percent(share)} of all"
    if table.is_being_vacuumed:
        reason += "; VACUUM is at work on it"
        return Finding(Status.INFO, reason, object=table.table_name)
    if table.has_hnsw:
        reason += "; its HNSW index finds less than it should"
        advice = vacuum_command([table.vacuum_name], "--reindex-hnsw")
    else:
        advice = f"VACUUM (ANALYZE) {table.name};"
    return Finding(status, reason, (advice,), object=table.table_name)


@dataclass(frozen=True)
class Pgstattuple:
    """A row of health/pgstattuple.sql."""

    schema: str
    may_use: bool


@dataclass(frozen=True)
class Bloat:
    """A row of health/bloat.sql."""

    name: str
    table_name: str
    vacuum_name: str
    size_bytes: int
    free_bytes: int

    @property
    def percent(self) -> float:
        return self.free_bytes / max(self.size_bytes, 1) * 100


@check(
    "bloat",
    Area.STORAGE,
    about="Space inside the ten largest tables and their TOAST that holds nothing, where the "
    f"extension pgstattuple tells; from {MIN_BLOAT_BYTES >> 20} MB of it on.",
    source="pgstattuple_approx(); estimates from statistics are not taken for knowledge",
    thresholds=Thresholds(Unit.PERCENT, warning=50),
)
def bloat(context: Context) -> Outcome:
    extension = context.row("pgstattuple", Pgstattuple)
    if extension is None:
        reason = "only the extension pgstattuple could tell how much space tables waste"
        advice = ("CREATE EXTENSION pgstattuple;",)
        return Outcome(
            "not measured: no pgstattuple", None, (Finding(Status.INFO, reason, advice),)
        )
    if not extension.may_use:
        role = context.identity().role
        raise SkippedError(
            Cause.PRIVILEGE,
            f"role {role} may not use pgstattuple; a superuser can let it",
            (f"GRANT pg_stat_scan_tables TO {quote_identifier(role)};",),
        )
    schema = sql.Identifier(extension.schema)
    tables = context.rows("bloat", Bloat, {"min_bytes": MIN_BLOAT_TABLE_BYTES}, schema=schema)
    large = [table for table in tables if table.free_bytes >= MIN_BLOAT_BYTES]
    worst = max((table.percent for table in large), default=0.0)
    findings = tuple(
        Finding(
            status,
            f"{format_bytes(table.free_bytes)} of {table.name}'s "
            f"{format_bytes(table.size_bytes)} hold nothing; only new rows of its own use them",
            (vacuum_command([table.vacuum_name], "--full"),),
            object=table.table_name,
        )
        for table in large
        if (status := context.judge(table.percent)) is not Status.OK
    )
    free = sum(table.free_bytes for table in tables)
    return Outcome(f"{format_bytes(free)} free inside tables", round(worst, 1), findings)


@dataclass(frozen=True)
class OldestIds:
    """A row of health/wraparound.sql."""

    database: str
    age: int
    is_current: bool
    freeze_max_age: int

    @property
    def share(self) -> float:
        return self.age / WRAPAROUND


@dataclass(frozen=True)
class NamedTable:
    name: str


@check(
    "wraparound",
    Area.STORAGE,
    about="The age of the oldest transaction or multixact id of every database, as a share of "
    "2^31, where the server stops taking writes.",
    source="pg_database; autovacuum freezes from autovacuum_freeze_max_age on (9.3 %), its "
    "failsafe is at 74.5 %",
    thresholds=Thresholds(Unit.PERCENT, warning=40, critical=75),
)
def wraparound(context: Context) -> Outcome:
    databases = context.rows("wraparound", OldestIds)
    oldest = databases[0]
    findings = tuple(
        _aged(context, database, status)
        for database in databases
        if (status := context.judge(database.share * 100)) is not Status.OK
    )
    return Outcome(format_percent(oldest.share), round(oldest.share * 100, 4), findings)


def _aged(context: Context, database: OldestIds, status: Status) -> Finding:
    reason = (
        f"database {database.database} holds ids that are {database.age:,} transactions old, "
        f"{format_percent(database.share)} of what there can be"
    )
    advice = [f"connect to database {database.database} and run: VACUUM (FREEZE);"]
    if database.is_current:
        tables = context.rows("oldest_tables", NamedTable)
        advice = [f"VACUUM (FREEZE) {table.name};" for table in tables]
        advice.append("VACUUM (FREEZE);")
    return Finding(status, reason, tuple(advice), object=database.database)
