"""The things that Aperture needs in its database, and server settings against what it holds."""

from __future__ import annotations

from dataclasses import dataclass

from aperture_db import aperture
from aperture_db.aperture.schema import locate
from aperture_db.extensions import collect as extensions
from aperture_db.extensions.report import Extension, ExtensionsReport, ExtensionState
from aperture_db.format import format_bytes, format_percent, plural
from aperture_db.health.advice import change, enlarge_shared_buffers, is_managed, megabytes
from aperture_db.health.check import (
    CheckOutcome,
    Context,
    NothingToCheckError,
    check,
    counted_days,
    need_aperture,
    need_tables,
    refuse_unreadable,
)
from aperture_db.health.report import Area, Finding, Status, Thresholds, Unit
from aperture_db.migrations import State
from aperture_db.migrations.directory import read_directory
from aperture_db.migrations.status import collect
from aperture_db.postgres import shm_size
from aperture_db.postgres.catalog import readable_tables, visible_tables
from aperture_db.postgres.connection import read_build_memory
from aperture_db.stats.counting import Inventory, embedding_queries, run_count_queries
from aperture_db.stats.coverage import EMBEDDING_JOBS

CREATED_BY = {"vector": 2, "pgcrypto": 2, "pg_trgm": 60}
"""The numbers of the migrations that create the extensions."""
MIGRATE = "aperture-db migrate"


@check(
    "extensions",
    Area.APERTURE,
    about="vector, pgcrypto and pg_trgm are installed, new enough and without known defects.",
    source="check-extensions",
)
def required_extensions(context: Context) -> CheckOutcome:
    report = extensions.collect(context.conn, context.target.host)
    context.shared.place = report.server.place
    due = _due_extensions(context)
    findings = tuple(
        finding
        for extension in report.extensions
        if (finding := _judge_extension(extension, report, due)) is not None
    )
    installed = [f"{e.name} {e.installed_version}" for e in report.extensions if e.is_usable]
    return CheckOutcome(", ".join(installed) or "none", len(installed), findings)


def _due_extensions(context: Context) -> set[str]:
    """Those that the database, as far as it is migrated, already uses."""
    visible = visible_tables(context.tables())
    if not aperture.is_aperture(visible):
        return set()
    table = visible.get(aperture.MIGRATIONS_TABLE)
    if table is None or not table.may_select:
        return set(CREATED_BY)
    newest = context.number("newest_migration")
    return {name for name, migration in CREATED_BY.items() if migration <= newest}


def _judge_extension(
    extension: Extension, report: ExtensionsReport, due: set[str]
) -> Finding | None:
    if extension.state is ExtensionState.OK:
        return None
    advice = tuple(extensions.advise(report.server, [extension]))
    reason = f"{extension.name}: {extension.reason}"
    if extension.is_usable:
        return Finding(Status.WARNING, reason, advice, object=extension.name)
    if extension.name in due:
        return Finding(Status.CRITICAL, reason, advice, object=extension.name)
    if not extension.blocks_migration:
        reason = f"{extension.name} comes with the pending migrations"
        return Finding(Status.INFO, reason, (MIGRATE,), object=extension.name)
    return Finding(Status.WARNING, reason, advice, object=extension.name)


@check(
    "migrations",
    Area.APERTURE,
    about="No migration is pending. The value is the number of pending ones.",
    source="migrate --status; the bundled migrations are those of Aperture 0.7.8",
    thresholds=Thresholds(Unit.COUNT, warning=1),
)
def migrations(context: Context) -> CheckOutcome:
    visible = visible_tables(context.tables())
    if aperture.MIGRATIONS_TABLE in visible:
        refuse_unreadable(context, [visible[aperture.MIGRATIONS_TABLE]])
    findings = []
    if trouble := locate(context.conn).find_trouble():
        advice = (trouble.next_step,)
        findings.append(Finding(Status.CRITICAL, f"{trouble.what}; {trouble.why}", advice))
        if aperture.MIGRATIONS_TABLE not in visible:
            return CheckOutcome("in another schema", None, tuple(findings))
    status = collect(context.conn, read_directory(context.migrations))
    pending = len(status.pending)
    if status.has_untracked_schema:
        finding = Finding(
            Status.CRITICAL,
            "Aperture's tables exist without a record of the migrations that created them",
            ("aperture-db migrate --mark-applied NAME",),
        )
        return CheckOutcome("not recorded", pending, (*findings, finding))
    if (judged := context.judge(pending)) is not Status.OK:
        reason = f"{plural(pending, 'migration')} pending, the first is {status.pending[0]}"
        findings.append(Finding(judged, reason, (MIGRATE,)))
    findings += [
        Finding(
            Status.INFO,
            f"{name} is recorded but not among the bundled migrations: "
            "a newer Aperture or a development branch applied it",
            object=name,
        )
        for name in status.names(State.UNKNOWN)
    ]
    applied = len(status.names(State.APPLIED))
    return CheckOutcome(f"{applied} applied, {pending} pending", pending, tuple(findings))


@check(
    "default-rows",
    Area.APERTURE,
    about="The rows exist that migrations insert and Aperture only updates or reads: "
    + ", ".join(rows.table for rows in aperture.DEFAULT_ROWS)
    + ".",
    source="the data steps of the migrations",
)
def default_rows(context: Context) -> CheckOutcome:
    visible = need_aperture(context)
    present = [rows for rows in aperture.DEFAULT_ROWS if rows.table in visible]
    if not present:
        raise NothingToCheckError("not in this version")
    refuse_unreadable(context, [visible[rows.table] for rows in present])
    findings = []
    for rows in present:
        table = visible[rows.table]
        query = "default_row" if rows.is_single else "any_row"
        if not context.number(query, table=table.identifier):
            reason = f"{rows.table} lacks its default row{'' if rows.is_single else 's'}"
            advice = (_insert(rows, table.columns),)
            status = Status.CRITICAL if rows.is_vital else Status.WARNING
            findings.append(Finding(status, f"{reason}: {rows.without}", advice, object=rows.table))
    missing = f"{len(findings)} of {len(present)} missing" if findings else f"all {len(present)}"
    return CheckOutcome(missing, len(findings), tuple(findings))


def _insert(rows: aperture.DefaultRows, columns: list[str]) -> str:
    if not rows.is_single:
        values = ", ".join(
            f"('{name}', {value}, 'US')" for name, value in aperture.PARENTAL_RATINGS
        )
        return _insert_into(rows.table, "rating_name, rating_value, country", values)
    used = {name: value for name, value in rows.values.items() if name in columns}
    return _insert_into(rows.table, ", ".join(used), f"({', '.join(used.values())})")


def _insert_into(table: str, columns: str, values: str) -> str:
    """A statement to show, made of the constants above."""
    return f"INSERT INTO {table} ({columns}) VALUES {values} ON CONFLICT DO NOTHING;"  # noqa: S608


@check(
    "embedding-coverage",
    Area.APERTURE,
    about="The share of films, series and episodes that have an embedding of the model in use, "
    "the lowest of the three. Titles without one are not recommended and not found.",
    source="stats; the jobs compute embeddings every 6 hours",
    thresholds=Thresholds(Unit.PERCENT, warning=90, is_low_bad=True),
)
def embedding_coverage(context: Context) -> CheckOutcome:
    visible = need_tables(context, "system_settings", "custom_ai_models", "library_config")
    embedding_tables = aperture.read_embedding_tables(context.conn)
    items = [visible[name] for name in aperture.MEDIA_TABLES.values() if name in visible]
    refuse_unreadable(context, [*items, *(visible[table.name] for table in embedding_tables)])
    readable = readable_tables(context.tables())
    active = aperture.read_active_model(context.conn, embedding_tables, readable)
    if active is None:
        reason = "no embedding model is configured, so nothing can be recommended"
        advice = ("choose an embedding model in Aperture under Settings, AI",)
        has_items = any(context.number("any_row", table=table.identifier) for table in items)
        finding = Finding(Status.INFO, reason, advice)
        return CheckOutcome("no model", None, (finding,) if has_items else ())
    inventory = Inventory(tuple(context.tables()), {})
    counts = run_count_queries(context.conn, embedding_queries(inventory, embedding_tables, active))
    findings = []
    lowest: float | None = None
    for media, name in aperture.MEDIA_TABLES.items():
        expected = counts.get(f"to_embed:{media}", {}).get(None, 0)
        present = counts.get(f"embedded:{media}", {}).get(None, 0)
        if not expected:
            continue
        share = present / expected
        lowest = share if lowest is None else min(lowest, share)
        if (status := context.judge(share * 100)) is not Status.OK:
            missing = f"{expected - present:,} of {expected:,} {name}"
            reason = f"{missing} have no embedding of {active.id}"
            advice = (f"run the job {EMBEDDING_JOBS[media]} in Aperture under Jobs",)
            findings.append(Finding(status, reason, advice, object=name))
    if lowest is None:
        return CheckOutcome("nothing to embed yet")
    return CheckOutcome(format_percent(lowest), round(lowest * 100, 1), tuple(findings))


MIB = 1 << 20
ADVISED_WORK_MEM = 16 * MIB
MAX_WORK_MEM = 64 * MIB
DEFAULT_SHARED_BUFFERS = 128 * MIB
LARGE_DATABASE = 1 << 30


@dataclass(frozen=True)
class Spilled:
    """A row of health/spilled."""

    temp_files: int
    temp_bytes: int
    work_mem_bytes: int


@check(
    "work-mem",
    Area.SETTINGS,
    about="The temporary files per day that sorts and hashes wrote because work_mem was too small.",
    source="pg_stat_database.temp_bytes since the statistics were reset",
    thresholds=Thresholds(Unit.BYTES, warning=1 << 30),
)
def work_mem(context: Context) -> CheckOutcome:
    row = context.row("spilled", Spilled)
    assert row is not None
    summary = format_bytes(row.work_mem_bytes)
    days = counted_days(context)
    if days is None:
        return CheckOutcome(summary)
    per_day = round(row.temp_bytes / days)
    status = context.judge(per_day)
    if status is Status.OK:
        return CheckOutcome(summary, per_day)
    reason = (
        f"sorts and hashes write {format_bytes(per_day)} a day to {row.temp_files:,} temporary "
        f"files, because they get {summary} of memory each"
    )
    wanted = min(max(row.work_mem_bytes * 2, ADVISED_WORK_MEM), MAX_WORK_MEM)
    if wanted <= row.work_mem_bytes:
        return CheckOutcome(summary, per_day, (Finding(status, reason),))
    advice = change(context, "work_mem", megabytes(wanted))
    return CheckOutcome(summary, per_day, (Finding(status, reason, advice),))


@dataclass(frozen=True)
class LargestIndex:
    """A row of health/largest_hnsw."""

    name: str
    table_oid: int


@check(
    "maintenance-work-mem",
    Area.SETTINGS,
    about="The memory that rebuilding the largest HNSW index needs, in percent of "
    "maintenance_work_mem; more than 100 % is info.",
    source="rows times (the vector's bytes + 720) and 5 %, and 5 MB, measured with pgvector 0.8; a "
    "build that exceeds it takes several times as long",
    thresholds=Thresholds(Unit.PERCENT, warning=400),
)
def maintenance_work_mem(context: Context) -> CheckOutcome:
    index = context.row("largest_hnsw", LargestIndex)
    if index is None:
        return CheckOutcome("no HNSW index", 0.0)
    memory = read_build_memory(context.conn, index.table_oid)
    wanted = memory.need_bytes
    percent = round(wanted / memory.own_bytes * 100, 1)
    summary = format_bytes(memory.own_bytes)
    if percent <= 100:
        return CheckOutcome(summary, percent)
    judged = context.judge(percent)
    # Rounded up to whole 64 MB.
    advised = -(-wanted // (64 * MIB)) * 64 * MIB
    reason = (
        f"rebuilding {index.name} needs {format_bytes(wanted)} of memory and gets {summary}; "
        f"give the server's container shm_size: {shm_size(advised)} for {format_bytes(advised)}"
    )
    finding = Finding(
        Status.INFO if judged is Status.OK else judged,
        reason,
        change(context, "maintenance_work_mem", megabytes(advised)),
        object=index.name,
    )
    return CheckOutcome(summary, percent, (finding,))


@dataclass(frozen=True)
class Buffers:
    """A row of health/shared_buffers."""

    shared_buffers_bytes: int
    database_bytes: int | None


@check(
    "shared-buffers",
    Area.SETTINGS,
    about="shared_buffers is larger than its default of 128 MB if the database has more than 1 GB.",
    source="PostgreSQL's manual on shared_buffers",
)
def shared_buffers(context: Context) -> CheckOutcome:
    row = context.row("shared_buffers", Buffers)
    assert row is not None
    summary = format_bytes(row.shared_buffers_bytes)
    is_small = row.shared_buffers_bytes <= DEFAULT_SHARED_BUFFERS
    if not is_small or (row.database_bytes or 0) < LARGE_DATABASE:
        return CheckOutcome(summary, row.shared_buffers_bytes)
    reason = f"{summary} for a database of {format_bytes(row.database_bytes or 0)}"
    advice = enlarge_shared_buffers(context, row.shared_buffers_bytes)
    finding = Finding(Status.INFO, reason, advice)
    return CheckOutcome(summary, row.shared_buffers_bytes, (finding,))


@dataclass(frozen=True)
class Autovacuum:
    """A row of health/autovacuum."""

    is_on: bool
    is_counting: bool
    excluded_tables: list[str]


@check(
    "autovacuum",
    Area.SETTINGS,
    about="autovacuum and track_counts are on, and no table is excluded.",
    source="pg_settings, storage parameters of the tables; Aperture never runs VACUUM itself",
)
def autovacuum(context: Context) -> CheckOutcome:
    row = context.row("autovacuum", Autovacuum)
    assert row is not None
    findings = []
    for is_on, name in ((row.is_on, "autovacuum"), (row.is_counting, "track_counts")):
        if not is_on:
            reason = f"{name} is off: dead rows accumulate, and transaction ids will run out"
            findings.append(Finding(Status.WARNING, reason, _switch_on(context, name), object=name))
    findings += [
        Finding(
            Status.WARNING,
            f"autovacuum is disabled for {table}",
            (f"ALTER TABLE {table} RESET (autovacuum_enabled);",),
            object=table,
        )
        for table in row.excluded_tables
    ]
    summary = "on" if row.is_on and row.is_counting else "off"
    if row.excluded_tables:
        summary += f", not for {plural(len(row.excluded_tables), 'table')}"
    return CheckOutcome(summary, summary, tuple(findings))


def _switch_on(context: Context, name: str) -> tuple[str, ...]:
    if is_managed(context):
        return (f"set {name} = on in the service's console",)
    return (f"ALTER SYSTEM SET {name} = on;", "SELECT pg_reload_conf();")
