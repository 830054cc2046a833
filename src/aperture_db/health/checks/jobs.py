"""Aperture's jobs, backups and logins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psycopg import sql

from aperture_db import aperture
from aperture_db.aperture.schema import KEPT_TABLES, OWN_SCHEMA, count_waiting
from aperture_db.clean import Kind
from aperture_db.format import format_seconds, format_time, plural, quote_literal
from aperture_db.health.advice import measure_cleanable
from aperture_db.health.check import (
    CheckOutcome,
    Context,
    SkippedError,
    check,
    need_aperture,
    need_tables,
    refuse_unreadable,
)
from aperture_db.health.report import Area, Cause, Finding, Status, Thresholds, Unit
from aperture_db.postgres.catalog import Table, explain_unreadable, visible_tables

DAY_SECONDS = 86_400
CUT_OFF_DAYS = 1
CLOCK_TOLERANCE_SECONDS = 600
BACKUP_FILES = "aperture_backup_*"


@dataclass(frozen=True)
class FailedJob:
    """A row of health/failed_jobs."""

    name: str
    run_id: str
    failed_at: datetime
    completed_at: datetime | None
    failures: int
    """In a row."""


@check(
    "failed-jobs",
    Area.APERTURE,
    about="The newest run of every job did not fail. The value is the number of failures in a row "
    "of the worst job.",
    source="job_runs",
    thresholds=Thresholds(Unit.COUNT, warning=1),
)
def failed_jobs(context: Context) -> CheckOutcome:
    need_tables(context, "job_runs")
    ignored = {"ignored": sorted(aperture.DEAD_JOBS)}
    jobs = context.rows("failed_jobs", FailedJob, ignored)
    findings = tuple(
        _failed(job, status)
        for job in jobs
        if (status := context.judge(job.failures)) is not Status.OK
    )
    worst = max((job.failures for job in jobs), default=0)
    return CheckOutcome(", ".join(job.name for job in jobs) or "none", worst, findings)


def _failed(job: FailedJob, status: Status) -> Finding:
    often = f"{job.failures:,} times in a row" if job.failures > 1 else "the last time"
    last = f"completed {format_time(job.completed_at)}" if job.completed_at else "never completed"
    reason = f"{job.name} failed {often} ({format_time(job.failed_at)}), {last}"
    run = quote_literal(job.run_id)
    advice = (f"SELECT error_message FROM job_runs WHERE id = {run};",)  # noqa: S608
    return Finding(status, reason, advice, object=job.name)


@dataclass(frozen=True)
class UnfinishedRuns:
    """A row of health/unfinished_runs."""

    runs: int
    oldest_seconds: float


@check(
    "unfinished-runs",
    Area.APERTURE,
    about="For how long the oldest run is called running: "
    + ", ".join(aperture.RUN_TABLES)
    + ". Aperture leaves it so when it is ended in the middle.",
    source="the status of the runs; a run takes minutes, a first enrichment hours",
    thresholds=Thresholds(Unit.SECONDS, warning=CUT_OFF_DAYS * DAY_SECONDS),
)
def unfinished_runs(context: Context) -> CheckOutcome:
    visible = need_aperture(context)
    present = [visible[name] for name in aperture.RUN_TABLES if name in visible]
    refuse_unreadable(context, present)
    oldest, findings = 0.0, []
    for table in present:
        # The column that tells when a run last did something, where there is one.
        since = "last_updated_at" if "last_updated_at" in table.columns else "created_at"
        row = context.row(
            "unfinished_runs", UnfinishedRuns, table=table.identifier, since=sql.Identifier(since)
        )
        if row is None:
            continue
        oldest = max(oldest, row.oldest_seconds)
        if (status := context.judge(row.oldest_seconds)) is not Status.OK:
            limit = context.limits.warning or context.limits.critical or 0.0
            findings.append(_unfinished(table.name, since, row, status, limit))
    summary = f"for {format_seconds(oldest)}" if oldest else "none"
    return CheckOutcome(summary, oldest, tuple(findings))


def _unfinished(
    name: str, since: str, row: UnfinishedRuns, status: Status, limit_seconds: float
) -> Finding:
    have = "has" if row.runs == 1 else "have"
    reason = (
        f"{plural(row.runs, 'run')} in {name} {have} the status running, the oldest for "
        f"{format_seconds(row.oldest_seconds)}: Aperture probably stopped during it"
    )
    advice = (
        f"UPDATE {name} SET status = '{aperture.RUN_TABLES[name]}' "  # noqa: S608
        f"WHERE status = 'running' AND {since} < now() - interval '{limit_seconds:.0f} seconds';"
    )
    return Finding(status, reason, (advice,), object=name)


@dataclass(frozen=True)
class Schedule:
    """A row of health/unknown_jobs."""

    name: str
    is_scheduled: bool


@dataclass(frozen=True)
class PastJob:
    """A row of health/job_names."""

    name: str
    runs: int


@check(
    "unknown-jobs",
    Area.APERTURE,
    about="Aperture knows the jobs in the schedule and in the history.",
    source="the job names of Aperture 0.7.8; migrations insert four that it does not know",
)
def unknown_jobs(context: Context) -> CheckOutcome:
    visible = need_tables(context, "job_config", "job_runs")
    known = {"known": sorted(aperture.KNOWN_JOBS)}
    # In older versions of Aperture these names may be in use.
    are_dead = measure_cleanable(context, Kind.DEAD_JOBS).unknown is None
    findings = [
        _unknown_schedule(schedule, is_dead=are_dead and schedule.name in aperture.DEAD_JOBS)
        for schedule in context.rows("unknown_jobs", Schedule, known)
    ]
    if "job_runs" in visible:
        findings += [
            Finding(
                Status.INFO,
                f"the history has {plural(job.runs, 'run')} of {job.name}, which is unknown to "
                "Aperture 0.7.8",
                object=job.name,
            )
            for job in context.rows("job_names", PastJob, known)
        ]
    names = dict.fromkeys(finding.object for finding in findings)
    summary = f"{len(names)} unknown" if names else "none"
    return CheckOutcome(summary, len(names), tuple(findings))


def _unknown_schedule(schedule: Schedule, *, is_dead: bool) -> Finding:
    fails = "is scheduled and fails every time" if schedule.is_scheduled else "is scheduled"
    if is_dead:
        return Finding(
            Status.INFO,
            f"{schedule.name} {fails}: Aperture does not know that job",
            (f"aperture-db clean --apply {Kind.DEAD_JOBS}",),
            object=schedule.name,
        )
    reason = f"{schedule.name} is scheduled, but unknown to Aperture 0.7.8"
    return Finding(Status.INFO, reason, object=schedule.name)


@dataclass(frozen=True)
class BackupNote:
    """A row of health/backup or health/backup_elsewhere."""

    age_seconds: float | None
    file_name: str | None
    directory: str
    installed_seconds_ago: float | None


@check(
    "backup-age",
    Area.APERTURE,
    about="The age of the last backup, or of the installation without one; and its file exists, "
    "if this machine has the directory.",
    source="backup_config and aperture_db.backups; by default Aperture makes a backup every day, "
    "so two have failed",
    thresholds=Thresholds(Unit.SECONDS, warning=3 * DAY_SECONDS, critical=7 * DAY_SECONDS),
)
def backup_age(context: Context) -> CheckOutcome:
    if not aperture.is_aperture(visible_tables(context.tables())):
        # A database that was lost, or another one: whoever watches backups has to know.
        raise SkippedError(
            Cause.FAILED,
            "this is not Aperture's database",
            ("check the database's name in the connection string",),
        )
    need_tables(context, "backup_config", aperture.MIGRATIONS_TABLE)
    note = context.row("backup", BackupNote)
    if note is None:
        return CheckOutcome(
            "not recorded",
            None,
            (_never(Status.INFO, "backup_config has no row to record backups"),),
        )
    note = _newest(context, note)
    if note.age_seconds is not None and note.age_seconds < -CLOCK_TOLERANCE_SECONDS:
        reason = "the last backup is dated in the future: the clock of its machine was wrong"
        return CheckOutcome("unknown", None, (_never(Status.WARNING, reason),))
    if note.age_seconds is None:
        since = note.installed_seconds_ago or 0.0
        judged = context.judge(since)
        reason = f"no backup yet, {format_seconds(since)} after the installation"
        finding = _never(Status.INFO if judged is Status.OK else judged, reason)
        return CheckOutcome("none yet", None, (finding,))
    findings = []
    age_seconds = max(0.0, note.age_seconds)
    if (judged := context.judge(age_seconds)) is not Status.OK:
        reason = f"the last backup is {format_seconds(age_seconds)} old"
        findings.append(_never(judged, reason))
    if missing := _missing_file(note):
        findings.append(missing)
    return CheckOutcome(f"{format_seconds(age_seconds)} ago", age_seconds, tuple(findings))


@dataclass(frozen=True)
class DrillNote:
    """A row of health/drill."""

    age_seconds: float
    file_name: str
    failure: str | None


@check(
    "restore-drill",
    Area.APERTURE,
    about="The age of the last restore drill, and that the backup could be restored.",
    source="aperture_db.drills; a quarter of a year, as many backup policies ask for",
    thresholds=Thresholds(Unit.SECONDS, warning=90 * DAY_SECONDS),
)
def restore_drill(context: Context) -> CheckOutcome:
    need_aperture(context)
    note = None
    if records := _own_table(context, "drills"):
        refuse_unreadable(context, [records])
        note = context.row("drill", DrillNote)
    if note is None:
        reason = "no backup was ever restored for a test"
        return CheckOutcome("never", None, (_advise_drill(Status.INFO, reason),))
    ago = format_seconds(note.age_seconds)
    findings = []
    if note.failure is not None:
        reason = f"{note.file_name} could not be restored {ago} ago: {note.failure}"
        findings.append(_advise_drill(Status.WARNING, reason))
    elif (judged := context.judge(note.age_seconds)) is not Status.OK:
        findings.append(_advise_drill(judged, f"the last restore drill was {ago} ago"))
    return CheckOutcome(f"{ago} ago", note.age_seconds, tuple(findings))


def _advise_drill(status: Status, reason: str) -> Finding:
    return Finding(status, reason, ("aperture-db restore --drill",))


def _own_table(context: Context, name: str) -> Table | None:
    """A table of our own schema."""
    own = (each for each in context.tables() if (each.schema, each.name) == (OWN_SCHEMA, name))
    return next(own, None)


def _newest(context: Context, noted: BackupNote) -> BackupNote:
    """The backup that Aperture's row names, or a newer one that `backup --dir` made elsewhere."""
    records = _own_table(context, "backups")
    elsewhere = (
        context.row("backup_elsewhere", BackupNote) if records and records.may_select else None
    )
    if elsewhere is None or elsewhere.age_seconds is None:
        return noted
    is_newer = (
        noted.age_seconds is None
        or noted.age_seconds < -CLOCK_TOLERANCE_SECONDS
        or elsewhere.age_seconds < noted.age_seconds
    )
    return elsewhere if is_newer else noted


def _never(status: Status, reason: str) -> Finding:
    return Finding(status, reason, ("aperture-db backup",))


def _missing_file(note: BackupNote) -> Finding | None:
    """The finding that the backup's file is missing; another machine may have written it."""
    directory = Path(note.directory)
    try:
        if not note.file_name or not directory.is_dir() or (directory / note.file_name).exists():
            return None
        others = any(directory.glob(BACKUP_FILES))
    except OSError:
        return None
    return Finding(
        Status.WARNING if others else Status.INFO,
        f"the file of the last backup, {note.file_name}, is not in {note.directory}",
        ("aperture-db backup",),
        object=note.file_name,
    )


@check(
    "kept-data",
    Area.APERTURE,
    about="No user data that a purge kept waits to be put back. The value is the number of rows.",
    source="aperture_db.kept_rows",
    thresholds=Thresholds(Unit.COUNT, warning=1),
)
def kept_data(context: Context) -> CheckOutcome:
    need_aperture(context)
    tables = context.tables()
    kept = [each for each in tables if each.schema == OWN_SCHEMA and each.name in KEPT_TABLES]
    if not kept:
        return CheckOutcome("none", 0)
    visible = visible_tables(tables)
    titles = [visible[name] for name in aperture.MEDIA_TABLES.values() if name in visible]
    refuse_unreadable(context, [*kept, *titles])
    rows = count_waiting(context.conn, visible)
    status = context.judge(rows)
    if status is Status.OK:
        return CheckOutcome("none", rows)
    wait = "wait" if rows > 1 else "waits"
    reason = f"{plural(rows, 'row')} kept by a purge {wait} to be put back"
    advice = ("aperture-db relink", "aperture-db relink --apply")
    return CheckOutcome(f"{plural(rows, 'row')}", rows, (Finding(status, reason, advice),))


@check(
    "expired-sessions",
    Area.APERTURE,
    about="Expired logins that are still stored.",
    source="clean; Aperture deletes one only when its cookie is used again",
    thresholds=Thresholds(Unit.COUNT, warning=10_000),
)
def expired_sessions(context: Context) -> CheckOutcome:
    need_aperture(context)
    rows = measure_cleanable(context, Kind.EXPIRED_SESSIONS).rows or 0
    if not rows:
        return CheckOutcome("none", 0)
    status = context.judge(rows)
    finding = Finding(
        Status.INFO if status is Status.OK else status,
        f"{plural(rows, 'expired login')} can be deleted",
        (f"aperture-db clean --apply {Kind.EXPIRED_SESSIONS}",),
    )
    return CheckOutcome(f"{rows:,}", rows, (finding,))


@check(
    "row-level-security",
    Area.APERTURE,
    about="Row-level security hides no rows of Aperture's tables from this role. The value is the "
    "number of tables.",
    source="row_security_active(): superusers, roles with BYPASSRLS, and owners without FORCE ROW "
    "LEVEL SECURITY see every row",
)
def row_level_security(context: Context) -> CheckOutcome:
    need_aperture(context)
    own = (t for t in context.tables() if t.is_visible or t.schema == OWN_SCHEMA)
    hidden = [table for table in own if table.hides_rows]
    refusal = explain_unreadable(hidden, context.identity().role)
    if refusal is None:
        return CheckOutcome("hides nothing", 0)
    finding = Finding(Status.WARNING, refusal.reason, refusal.statements)
    return CheckOutcome(f"hides {plural(len(hidden), 'table')}", len(hidden), (finding,))
