"""The report on a database, and what keeps private things out of it.

The report is fit to be shown to strangers: no names of roles, databases and hosts, no paths and
addresses, and nothing that a row of Aperture's contains except numbers, jobs and embedding models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from enum import Enum
from typing import TypeVar

from aperture_db.extensions.report import ExtensionsReport
from aperture_db.health.report import Cause, Finding, HealthReport, Result
from aperture_db.migrations import MigrationStatus
from aperture_db.stats.history import History
from aperture_db.stats.report import StatsReport, TableStats, TableTotals

Value = TypeVar("Value")
Redact = Callable[[str], str]

# They identify nobody, and advice consists of them.
COMMON_WORDS = frozenset({
    "aperture", "aperture_db", "aperture-db", "app", "postgres", "public", "psql", "pg_dump",
    "pg_restore", "vector",
})  # fmt: skip
MIN_WORD_CHARACTERS = 3
PATTERNS = (
    (re.compile(r"\b[a-z][\w+.-]*://\S+"), "[url]"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "[e-mail]"),
    (re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])"), "[address]"),
    (re.compile(r"(?<![\w./\]])(?!/dev/shm\b)(?:/[\w.@+~-]+)+/?"), "[path]"),
)
# Their findings quote statements, or name sessions that may have ended since.
QUOTING_CHECKS = {"slow-statements", "idle-in-transaction", "blocked-queries", "long-transactions"}
QUOTING_CAUSES = {Cause.LOCKED, Cause.FAILED}


@dataclass(frozen=True)
class ServerSetting:
    name: str
    value: str
    """As SHOW prints it."""
    is_changed: bool
    """Set somewhere: it may differ from PostgreSQL's default."""


@dataclass(frozen=True)
class LastBackup:
    made_at: datetime
    size_bytes: int | None


@dataclass(frozen=True)
class LastDrill:
    """The last time that a backup was restored for a test."""

    drilled_at: datetime
    has_passed: bool
    duration_seconds: float


@dataclass(frozen=True)
class DatabaseReport:
    """The state of a database, with everything private replaced by words in brackets."""

    tool_version: str
    stats: StatsReport
    tables: TableTotals
    largest_tables: tuple[TableStats, ...]
    """Of Aperture's tables, the largest first."""
    history: History | None
    """Growth over the recorded samples; None where it could not be read."""
    health: HealthReport
    migrations: MigrationStatus | None
    """None where the records could not be read."""
    extensions: ExtensionsReport
    last_backup: LastBackup | None
    """None without one, and where the record could not be read."""
    last_drill: LastDrill | None
    settings: tuple[ServerSetting, ...]
    unread: tuple[str, ...]
    """The parts that could not be read, each with the reason."""


def make_redaction(kinds_by_word: Mapping[str, str]) -> Redact:
    """The function that replaces private words by their kind, and so paths, URLs and addresses."""
    labels: dict[str, str] = {}
    for word, kind in kinds_by_word.items():
        if len(word) >= MIN_WORD_CHARACTERS and word not in COMMON_WORDS:
            for spelling in (word, word.replace('"', '""'), word.replace("'", "''")):
                labels[spelling] = f"[{kind}]"
    longest_first = sorted(labels, key=len, reverse=True)
    known = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")

    def redact(text: str) -> str:
        if labels:
            text = known.sub(lambda match: labels[match[0]], text)
        for pattern, label in PATTERNS:
            text = pattern.sub(label, text)
        return text

    return redact


def hide(report: DatabaseReport, redact: Redact) -> DatabaseReport:
    """Redact every text; leave out quotations and the names of where it was read."""
    report = _without_quotations(_redacted(report, redact))
    database = replace(report.stats.database, name="[database]", role="[role]")
    server = replace(report.extensions.server, database="[database]", role="[role]")
    status = report.migrations
    if status is not None and status.directory != "bundled":
        status = replace(status, directory="[path]")
    return replace(
        report,
        stats=replace(report.stats, database=database),
        extensions=replace(report.extensions, server=server),
        health=replace(report.health, server="[host]", database="[database]"),
        migrations=status,
    )


def _redacted(value: Value, redact: Redact) -> Value:
    """The same value with every string in it redacted."""
    changed: object = value
    if isinstance(value, str) and not isinstance(value, Enum):
        changed = redact(value)
    elif isinstance(value, tuple):
        changed = tuple(_redacted(item, redact) for item in value)
    elif isinstance(value, Mapping):
        changed = {key: _redacted(item, redact) for key, item in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        changed = replace(
            value,
            **{f.name: _redacted(getattr(value, f.name), redact) for f in fields(value)},
        )
    return changed  # type: ignore[return-value]


def _without_quotations(report: DatabaseReport) -> DatabaseReport:
    """Without statements and sessions, which may contain anything."""
    checks = tuple(_unquoted(check) for check in report.health.checks)
    hints = tuple(
        replace(hint, cause="another session holds a lock", next="aperture-db stats")
        if hint.id == "locked"
        else hint
        for hint in report.stats.hints
    )
    return replace(
        report,
        health=replace(report.health, checks=checks),
        stats=replace(report.stats, hints=hints),
    )


def _unquoted(check: Result) -> Result:
    quotes = check.id in QUOTING_CHECKS or check.skipped_because in QUOTING_CAUSES
    if not quotes or not check.findings:
        return check
    reason, advice = "left out of this report", (f"aperture-db health --only {check.id}",)
    worst = max(check.findings, key=lambda finding: finding.status.severity)
    return replace(
        check, reason=reason, advice=advice, findings=(Finding(worst.status, reason, advice),)
    )
