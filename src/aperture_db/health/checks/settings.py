"""Server settings against what the database holds."""

from __future__ import annotations

from dataclasses import dataclass

from aperture_db.format import format_bytes, plural
from aperture_db.health.advice import change, enlarge_shared_buffers, is_managed, megabytes
from aperture_db.health.check import CheckOutcome, Context, check, counted_days
from aperture_db.health.report import Area, Finding, Status, Thresholds, Unit
from aperture_db.postgres.connection import read_build_memory
from aperture_db.postgres.driver_errors import shm_size

MIB = 1 << 20
ADVISED_WORK_MEM = 16 * MIB
MAX_WORK_MEM = 64 * MIB
DEFAULT_SHARED_BUFFERS = 128 * MIB
LARGE_DATABASE = 1 << 30


@dataclass(frozen=True)
class Spilled:
    """A row of health/spilled.sql."""

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
    """A row of health/largest_hnsw.sql."""

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
    """A row of health/shared_buffers.sql."""

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
    """A row of health/autovacuum.sql."""

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
