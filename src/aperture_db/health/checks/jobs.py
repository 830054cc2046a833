"""What Aperture's jobs left behind: failures, schedules, backups, sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aperture_db import aperture, clean
from aperture_db.format import format_seconds, format_time, plural
from aperture_db.health.check import Outcome, check
from aperture_db.health.cleanable import measure_cleanable
from aperture_db.health.context import Context
from aperture_db.health.report import Area, Finding, Status, Thresholds, Unit
from aperture_db.health.requirements import need_aperture, need_tables

DAY_SECONDS = 86_400
BACKUP_FILES = "aperture_backup_*"


@dataclass(frozen=True)
class FailedJob:
    """A row of health/failed_jobs.sql."""

    name: str
    run_id: str
    failed_at: datetime
    completed_at: datetime | None
    failures: int
    """In a row."""


@check(
    "failed-jobs",
    Area.APERTURE,
    about="The newest run of every job did not fail. The value is how often a job failed in a "
    "row, of the worst.",
    source="job_runs",
    thresholds=Thresholds(Unit.COUNT, warning=1),
)
def failed_jobs(context: Context) -> Outcome:
    need_tables(context, "job_runs")
    ignored = {"ignored": sorted(aperture.DEAD_JOBS)}
    jobs = context.rows("failed_jobs", FailedJob, ignored)
    findings = tuple(
        _failed(job, status)
        for job in jobs
        if (status := context.judge(job.failures)) is not Status.OK
    )
    worst = max((job.failures for job in jobs), default=0)
    return Outcome(", ".join(job.name for job in jobs) or "none", worst, findings)


def _failed(job: FailedJob, status: Status) -> Finding:
    often = f"{job.failures:,} times in a row" if job.failures > 1 else "the last time"
    last = f"completed {format_time(job.completed_at)}" if job.completed_at else "never completed"
    reason = f"{job.name} failed {often} ({format_time(job.failed_at)}), {last}"
    advice = (f"SELECT error_message FROM job_runs WHERE id = '{job.run_id}';",)  # noqa: S608
    return Finding(status, reason, advice, object=job.name)


@dataclass(frozen=True)
class Schedule:
    """A row of health/unknown_jobs.sql."""

    name: str
    is_scheduled: bool


@dataclass(frozen=True)
class PastJob:
    """A row of health/job_names.sql."""

    name: str
    runs: int


@check(
    "unknown-jobs",
    Area.APERTURE,
    about="Jobs in the schedule and in the history are those that Aperture knows.",
    source="the job names of Aperture 0.7.8; migrations make rows for four that are gone",
)
def unknown_jobs(context: Context) -> Outcome:
    visible = need_tables(context, "job_config", "job_runs")
    known = {"known": sorted(aperture.KNOWN_JOBS)}
    # In older versions of Aperture these names may be in use.
    are_dead = measure_cleanable(context, clean.Kind.DEAD_JOBS).unknown is None
    findings = [
        _unknown_schedule(schedule, is_dead=are_dead and schedule.name in aperture.DEAD_JOBS)
        for schedule in context.rows("unknown_jobs", Schedule, known)
    ]
    if "job_runs" in visible:
        findings += [
            Finding(
                Status.INFO,
                f"the history has {plural(job.runs, 'run')} of {job.name}, which Aperture no "
                "longer knows",
                object=job.name,
            )
            for job in context.rows("job_names", PastJob, known)
        ]
    names = dict.fromkeys(finding.object for finding in findings)
    summary = f"{len(names)} that no code knows" if names else "none"
    return Outcome(summary, len(names), tuple(findings))


def _unknown_schedule(schedule: Schedule, *, is_dead: bool) -> Finding:
    fails = "is scheduled and fails every time: " if schedule.is_scheduled else ""
    if is_dead:
        return Finding(
            Status.INFO,
            f"{schedule.name} {fails or 'is in the schedule, and '}no code knows that name",
            (f"aperture-db clean --apply {clean.Kind.DEAD_JOBS}",),
            object=schedule.name,
        )
    reason = f"{schedule.name} is in the schedule, and Aperture 0.7.8 does not know that name"
    return Finding(Status.INFO, reason, object=schedule.name)


@dataclass(frozen=True)
class BackupNote:
    """A row of health/backup.sql."""

    age_seconds: float | None
    file_name: str | None
    directory: str
    installed_seconds_ago: float | None


@check(
    "backup-age",
    Area.APERTURE,
    about="The time since the last backup, or since the installation where there was none; and "
    "its file is still there, where this machine has the directory.",
    source="backup_config; Aperture's default is a backup every day, so two have failed by then",
    thresholds=Thresholds(Unit.SECONDS, warning=3 * DAY_SECONDS, critical=7 * DAY_SECONDS),
)
def backup_age(context: Context) -> Outcome:
    need_tables(context, "backup_config", "aperture_migrations")
    note = context.row("backup", BackupNote)
    if note is None:
        return Outcome("not noted", None, (_never(Status.INFO, "nothing notes backups"),))
    if note.age_seconds is None:
        since = note.installed_seconds_ago or 0.0
        judged = context.judge(since)
        reason = f"no backup yet, {format_seconds(since)} after the installation"
        finding = _never(Status.INFO if judged is Status.OK else judged, reason)
        return Outcome("none yet", None, (finding,))
    findings = []
    if (judged := context.judge(note.age_seconds)) is not Status.OK:
        reason = f"the last backup is {format_seconds(note.age_seconds)} old"
        findings.append(_never(judged, reason))
    if missing := _missing_file(note):
        findings.append(missing)
    return Outcome(f"{format_seconds(note.age_seconds)} ago", note.age_seconds, tuple(findings))


def _never(status: Status, reason: str) -> Finding:
    return Finding(status, reason, ("aperture-db backup",))


def _missing_file(note: BackupNote) -> Finding | None:
    """The file is gone, as far as this machine can tell: it may not be the one that wrote it."""
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
    "expired-sessions",
    Area.APERTURE,
    about="Logins that have ended and are still stored.",
    source="clean; Aperture deletes one only when its cookie is shown again",
    thresholds=Thresholds(Unit.COUNT, warning=10_000),
)
def expired_sessions(context: Context) -> Outcome:
    need_aperture(context)
    rows = measure_cleanable(context, clean.Kind.EXPIRED_SESSIONS).rows or 0
    if not rows:
        return Outcome("none", 0)
    status = context.judge(rows)
    finding = Finding(
        Status.INFO if status is Status.OK else status,
        f"{plural(rows, 'login')} {'have' if rows != 1 else 'has'} ended and can be deleted",
        (f"aperture-db clean --apply {clean.Kind.EXPIRED_SESSIONS}",),
    )
    return Outcome(f"{rows:,}", rows, (finding,))
