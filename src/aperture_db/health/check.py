"""What a check is: a function that looks at one thing, and what is known about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aperture_db.health.context import Context
from aperture_db.health.report import Area, Cause, Finding, Thresholds

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Outcome:
    """What a check saw. Its status is that of its worst finding."""

    summary: str
    value: float | int | str | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Check:
    """One check of the registry."""

    id: str
    """Stable: scripts name it."""
    area: Area
    about: str
    """What it looks at, for the reference."""
    source: str
    """Where the figures and the thresholds come from, for the reference."""
    thresholds: Thresholds | None
    look: Callable[[Context], Outcome] = field(repr=False)


def check(
    check_id: str,
    area: Area,
    *,
    about: str,
    source: str,
    thresholds: Thresholds | None = None,
) -> Callable[[Callable[[Context], Outcome]], Check]:
    """Make a function a check."""

    def make(look: Callable[[Context], Outcome]) -> Check:
        return Check(check_id, area, about, source, thresholds, look)

    return make


class SkippedError(Exception):
    """Raised by a check that can't look."""

    def __init__(self, cause: Cause, reason: str, advice: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.cause = cause
        self.reason = reason
        self.advice = advice


class NothingToCheckError(Exception):
    """Raised by a check whose tables this version, or this database, does not have."""
