"""The results of a run of the checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from aperture_db.errors import ConnectError


class Status(StrEnum):
    """The status of a check, from good to bad; `skipped` is neither."""

    OK = "ok"
    INFO = "info"
    """Good to know; nothing is wrong."""
    WARNING = "warning"
    CRITICAL = "critical"
    SKIPPED = "skipped"
    """It could not be done: `skipped_because` says why."""

    @property
    def severity(self) -> int:
        """Higher is worse; skipped is neither good nor bad."""
        return {Status.INFO: 1, Status.WARNING: 2, Status.CRITICAL: 3}.get(self, 0)

    def at_least(self, least: Status) -> Status:
        """This status, or `least` if that is worse."""
        return max(self, least, key=lambda status: status.severity)


class Area(StrEnum):
    """The subject of a check; the words are shown to the user."""

    CONNECTION = "connection"
    QUERIES = "queries"
    STORAGE = "storage"
    REPLICATION = "replication"
    INTEGRITY = "integrity"
    APERTURE = "aperture"
    SETTINGS = "settings"


class Unit(StrEnum):
    """Of a value and of its thresholds."""

    SECONDS = "seconds"
    PERCENT = "percent"
    BYTES = "bytes"
    COUNT = "count"


class Cause(StrEnum):
    """The reason why a check was skipped."""

    PRIVILEGE = "privilege"
    STANDBY = "standby"
    """Only the primary knows."""
    TIMEOUT = "timeout"
    LOCKED = "locked"
    FAILED = "failed"
    UNREACHABLE = "unreachable"

    @property
    def is_trouble(self) -> bool:
        """The check should have been possible, so its status is unknown."""
        return self not in (Cause.PRIVILEGE, Cause.STANDBY)


@dataclass(frozen=True)
class Thresholds:
    """The values from which on a status is warning or critical; None: never."""

    unit: Unit
    warning: float | None
    critical: float | None = None
    is_low_bad: bool = False
    """Values below the thresholds are the bad ones."""

    def judge(self, value: float) -> Status:
        if self._is_past(value, self.critical):
            return Status.CRITICAL
        return Status.WARNING if self._is_past(value, self.warning) else Status.OK

    def _is_past(self, value: float, limit: float | None) -> bool:
        if limit is None:
            return False
        return value < limit if self.is_low_bad else value >= limit


@dataclass(frozen=True)
class Finding:
    """One statement of a check about one object."""

    status: Status
    reason: str
    advice: tuple[str, ...] = ()
    """Commands, SQL, or a sentence where neither helps; each can be pasted as it is."""
    object: str = ""
    """The name for `--ignore id:object`."""


@dataclass(frozen=True)
class Result:
    """The result of one check."""

    id: str
    area: Area
    status: Status
    summary: str
    """The state in a few words, whatever the status."""
    value: float | int | str | None
    """The measured value, in the unit of the thresholds where there are any."""
    thresholds: Thresholds | None
    reason: str | None
    """The reason of the worst finding; None if ok."""
    advice: tuple[str, ...]
    """The steps to fix it, worst finding first."""
    findings: tuple[Finding, ...]
    skipped_because: Cause | None
    duration_seconds: float

    @property
    def grave_findings(self) -> tuple[Finding, ...]:
        """Those that make it a problem, without the notes."""
        return tuple(f for f in self.findings if f.status is not Status.INFO)

    @property
    def is_unknown(self) -> bool:
        return self.skipped_because is not None and self.skipped_because.is_trouble


class Verdict(StrEnum):
    """The overall status; exit codes 0 to 3 in this order."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"

    @property
    def exit_code(self) -> int:
        return list(Verdict).index(self)


@dataclass(frozen=True)
class HealthReport:
    """All checks of one run, in the order of the areas."""

    server: str
    """host:port"""
    database: str
    checked_at: datetime
    """By the clock of this machine."""
    verdict: Verdict
    counts: Mapping[Status, int]
    """Checks by status."""
    checks: tuple[Result, ...]
    error: ConnectError | None = field(default=None, metadata={"json": False})
    """The error when the server could not be reached, or no longer."""
    is_strict: bool = field(default=False, metadata={"json": False})
    """Every skipped check counts as unknown, not only the failed ones."""

    def with_status(self, *wanted: Status) -> tuple[Result, ...]:
        return tuple(check for check in self.checks if check.status in wanted)

    @property
    def problems(self) -> tuple[Result, ...]:
        """Warnings and worse, and checks that failed; the worst first."""
        found = [
            check
            for check in self.checks
            if check.status in (Status.WARNING, Status.CRITICAL)
            or check.is_unknown
            or (self.is_strict and check.status is Status.SKIPPED)
        ]
        return tuple(sorted(found, key=lambda check: -check.status.severity))


def decide(checks: tuple[Result, ...], *, strict: bool) -> Verdict:
    """The verdict: known problems take precedence over unknown ones.

    `strict`: every skipped check counts as unknown, not only the failed ones.
    """
    worst = max((check.status.severity for check in checks), default=0)
    if worst >= Status.CRITICAL.severity:
        return Verdict.CRITICAL
    if worst >= Status.WARNING.severity:
        return Verdict.WARNING
    skipped = [check for check in checks if check.status is Status.SKIPPED]
    if any(strict or check.is_unknown for check in skipped):
        return Verdict.UNKNOWN
    return Verdict.OK
