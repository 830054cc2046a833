"""Storage: encoding, growth, dead rows, bloat, wraparound and embeddings that nothing reads."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import errors as pg
from psycopg import sql

from aperture_db.aperture.schema import describe_encoding
from aperture_db.clean import Kind, KindReport
from aperture_db.format import (
    format_bytes,
    format_percent,
    plural,
    quote_identifier,
    vacuum_command,
)
from aperture_db.health.advice import measure_cleanable
from aperture_db.health.check import (
    CheckOutcome,
    Context,
    NothingToCheckError,
    SkippedError,
    check,
    need_aperture,
    need_primary,
)
from aperture_db.health.report import Area, Cause, Finding, Status, Thresholds, Unit
from aperture_db.stats import history

HNSW_DEAD_SHARE = 0.05
# Below that, a share says nothing.
MIN_DEAD_ROWS = 50

MIN_BLOAT_TABLE_BYTES = 10 << 20
MIN_BLOAT_BYTES = 50 << 20

WRAPAROUND = 2**31
MIN_SAMPLES = 3
MIN_DAYS = 7.0
DAYS_AHEAD = 30
# Less costs too little to be urgent.
LARGE_BYTES = 100 << 20


@dataclass(frozen=True)
class DeadRows:
    """A row of health/dead_rows."""

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
def dead_rows(context: Context) -> CheckOutcome:
    need_primary(context, "the dead rows")
    tables = context.rows("dead_rows", DeadRows)
    total = sum(table.dead_rows for table in tables)
    worst = max((table.percent_of_limit for table in tables), default=0.0)
    findings = tuple(
        _dead(table, status)
        for table in tables
        if (status := context.judge(table.percent_of_limit)) is not Status.OK
    )
    return CheckOutcome(f"{total:,}" if total else "none", round(worst, 1), findings)


def _dead(table: DeadRows, status: Status) -> Finding:
    share = table.dead_rows / max(table.live_rows + table.dead_rows, 1)
    reason = f"{table.name} has {table.dead_rows:,} dead rows, {format_percent(share)} of all"
    if table.is_being_vacuumed:
        reason += "; VACUUM is running on it"
        return Finding(Status.INFO, reason, object=table.table_name)
    if table.has_hnsw:
        reason += "; vector search misses results as dead rows accumulate"
        advice = vacuum_command([table.vacuum_name], "--reindex-hnsw")
    else:
        advice = f"VACUUM (ANALYZE) {table.name};"
    return Finding(status, reason, (advice,), object=table.table_name)


@dataclass(frozen=True)
class Pgstattuple:
    """A row of health/pgstattuple."""

    schema: str
    may_use: bool


@dataclass(frozen=True)
class Bloat:
    """A row of health/bloat."""

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
    about="Unused space inside the ten largest tables and their TOAST, if the extension "
    f"pgstattuple is installed; from {MIN_BLOAT_BYTES >> 20} MB of it on.",
    source="pgstattuple_approx(); estimates from statistics are too inexact",
    thresholds=Thresholds(Unit.PERCENT, warning=50),
)
def bloat(context: Context) -> CheckOutcome:
    extension = context.row("pgstattuple", Pgstattuple)
    if extension is None:
        reason = "bloat can only be measured with the extension pgstattuple"
        advice = ("CREATE EXTENSION pgstattuple;",)
        return CheckOutcome(
            "not measured: no pgstattuple", None, (Finding(Status.INFO, reason, advice),)
        )
    if not extension.may_use:
        role = context.identity().role
        raise SkippedError(
            Cause.PRIVILEGE,
            f"role {role} may not use pgstattuple; a superuser can grant it",
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
            f"{format_bytes(table.size_bytes)} are unused; only its own new rows can use them",
            (vacuum_command([table.vacuum_name], "--full"),),
            object=table.table_name,
        )
        for table in large
        if (status := context.judge(table.percent)) is not Status.OK
    )
    free = sum(table.free_bytes for table in tables)
    return CheckOutcome(f"{format_bytes(free)} free inside tables", round(worst, 1), findings)


@dataclass(frozen=True)
class OldestIds:
    """A row of health/wraparound."""

    database: str
    age: int
    are_multixacts: bool
    is_current: bool
    may_connect: bool
    """datallowconn: anybody at all."""

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
    "2^31, where the server refuses writes. A warning about a database that allows no connections, "
    "such as template0, is info: autovacuum freezes it.",
    source="pg_database; autovacuum freezes from autovacuum_freeze_max_age on (9.3 %), its "
    "failsafe is at 74.5 %",
    thresholds=Thresholds(Unit.PERCENT, warning=40, critical=75),
)
def wraparound(context: Context) -> CheckOutcome:
    databases = context.rows("wraparound", OldestIds)
    oldest = databases[0]
    findings = tuple(
        _aged(context, database, status)
        for database in databases
        if (status := _judge_age(context, database)) is not Status.OK
    )
    return CheckOutcome(format_percent(oldest.share), round(oldest.share * 100, 4), findings)


def _judge_age(context: Context, database: OldestIds) -> Status:
    """Autovacuum freezes a database that nobody may connect to, such as template0, too; it is only
    for an administrator when autovacuum has failed."""
    status = context.judge(database.share * 100)
    return Status.INFO if status is Status.WARNING and not database.may_connect else status


def _aged(context: Context, database: OldestIds, status: Status) -> Finding:
    reason = (
        f"the oldest ids of database {database.database} are {database.age:,} "
        f"{'multixacts' if database.are_multixacts else 'transactions'} old, "
        f"{format_percent(database.share)} of the maximum"
    )
    advice = [f"connect to database {database.database} and run VACUUM (FREEZE) in it"]
    if not database.may_connect:
        reason += "; autovacuum freezes it, nobody else may connect to it"
        allow = f"ALTER DATABASE {quote_identifier(database.database)} ALLOW_CONNECTIONS"
        advice = [f"{allow} true;", *advice, f"{allow} false;"]
    if database.is_current:
        tables = context.rows("oldest_tables", NamedTable)
        advice = [f"VACUUM (FREEZE) {table.name};" for table in tables]
        advice.append("VACUUM (FREEZE);")
    return Finding(status, reason, tuple(advice), object=database.database)


@check(
    "growth",
    Area.STORAGE,
    about=f"How much the database grows in {DAYS_AHEAD} days, as a share of its size, by the "
    f"samples of stats --record: {MIN_SAMPLES} or more over {MIN_DAYS:.0f} days or more.",
    source="aperture_db.samples",
    thresholds=Thresholds(Unit.PERCENT, warning=50),
)
def growth(context: Context) -> CheckOutcome:
    samples = _read_samples(context)
    sizes = [sample for sample in samples if sample.database_bytes is not None]
    days = 0.0
    if sizes:
        days = (sizes[-1].sampled_at - sizes[0].sampled_at).total_seconds() / 86400
    if len(sizes) < MIN_SAMPLES or days < MIN_DAYS:
        reason = (
            f"{plural(len(sizes), 'sample')} over {days:.1f} days; the trend needs "
            f"{MIN_SAMPLES} over {MIN_DAYS:.0f} days"
        )
        finding = Finding(Status.INFO, reason, ("aperture-db stats --record",))
        return CheckOutcome(f"collecting: {plural(len(sizes), 'sample')}", None, (finding,))
    first, last = sizes[0].database_bytes or 0, sizes[-1].database_bytes or 0
    per_day = (last - first) / days
    percent = round(per_day * DAYS_AHEAD / max(last, 1) * 100, 1)
    summary = f"{format_bytes(last)}, {format_bytes(round(per_day))} a day"
    status = context.judge(percent)
    if status is Status.OK:
        return CheckOutcome(summary, percent)
    reason = (
        f"at {format_bytes(round(per_day))} a day the database grows by {percent:.0f} % in "
        f"{DAYS_AHEAD} days"
    )
    advice = ("aperture-db stats --history", "aperture-db clean")
    return CheckOutcome(summary, percent, (Finding(status, reason, advice),))


def _read_samples(context: Context) -> list[history.Sample]:
    # Asked now: after an error the transaction answers nothing more.
    role = context.identity().role
    try:
        return history.read_samples(context.conn)
    except pg.InsufficientPrivilege as error:
        user = quote_identifier(role)
        raise SkippedError(
            Cause.PRIVILEGE,
            f"role {role} may not read aperture_db.samples; their owner can grant it",
            (
                f"GRANT USAGE ON SCHEMA aperture_db TO {user};",
                f"GRANT SELECT ON aperture_db.samples TO {user};",
            ),
        ) from error


@check(
    "legacy-embeddings",
    Area.STORAGE,
    about="The space of the legacy embeddings that migration 0078 left; nothing reads them.",
    source="clean",
    thresholds=Thresholds(Unit.BYTES, warning=LARGE_BYTES),
)
def legacy_embeddings(context: Context) -> CheckOutcome:
    need_aperture(context)
    report = measure_cleanable(context, Kind.LEGACY_EMBEDDINGS)
    return _cleanable(context, report, "that nothing reads")


@check(
    "stale-embeddings",
    Area.STORAGE,
    about="The space of the embeddings of models that are not in use.",
    source="clean; system_settings.ai_config names the model in use",
    thresholds=Thresholds(Unit.BYTES, warning=LARGE_BYTES),
)
def stale_embeddings(context: Context) -> CheckOutcome:
    need_aperture(context)
    report = measure_cleanable(context, Kind.STALE_EMBEDDINGS)
    if report.unknown:
        raise NothingToCheckError("no model is configured")
    return _cleanable(context, report, "of models that are not in use")


def _cleanable(context: Context, report: KindReport, which: str) -> CheckOutcome:
    rows, size_bytes = report.rows or 0, report.size_bytes or 0
    if not rows:
        return CheckOutcome("none", 0)
    marked = "" if report.is_size_exact else "about "
    size = f"{marked}{format_bytes(size_bytes)}"
    status = context.judge(size_bytes)
    finding = Finding(
        Status.INFO if status is Status.OK else status,
        f"{plural(rows, 'embedding')} {which} {'take' if rows != 1 else 'takes'} {size}",
        (f"aperture-db clean --apply {report.kind}",),
    )
    return CheckOutcome(f"{rows:,}, {size}", size_bytes, (finding,))


@dataclass(frozen=True)
class Encoding:
    """A row of health/encoding."""

    name: str
    owner: str
    locale: str
    """For CREATE DATABASE: UTF8 does not fit every locale that a server can have."""


@check(
    "encoding",
    Area.STORAGE,
    about="The database's encoding is UTF8, which has every letter of every title.",
    source="pg_database.encoding; the media server sends UTF-8",
)
def encoding(context: Context) -> CheckOutcome:
    found = context.row("encoding", Encoding)
    assert found is not None
    problem = describe_encoding(context.conn)
    if problem is None:
        return CheckOutcome(found.name, found.name)
    name = quote_identifier(f"{context.identity().database}_utf8")
    create = (
        f"CREATE DATABASE {name} OWNER {quote_identifier(found.owner)} "
        f"ENCODING 'UTF8' {found.locale}TEMPLATE template0;"
    )
    restore = "restore the backup into it, and name it in Aperture's DATABASE_URL"
    advice = ("aperture-db backup", create, restore)
    return CheckOutcome(found.name, found.name, (Finding(Status.WARNING, problem, advice),))
