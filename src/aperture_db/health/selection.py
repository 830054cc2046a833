"""The checks that run, what they ignore and their thresholds, as the options of `health` say."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from aperture_db.errors import UsageError
from aperture_db.format import parse_seconds
from aperture_db.health.check import TIMEOUT_SECONDS, Check
from aperture_db.health.report import Thresholds, Unit

FACTORS: Mapping[Unit, Mapping[str, float]] = {
    Unit.PERCENT: {"": 1, "%": 1},
    Unit.BYTES: {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40},
    Unit.COUNT: {"": 1},
}
"""Factors of the units behind a number; durations are parsed as everywhere."""
EXAMPLES: Mapping[Unit, str] = {
    Unit.SECONDS: "300, 5m or 2h",
    Unit.PERCENT: "80 or 80%",
    Unit.BYTES: "500MB or 2GB",
    Unit.COUNT: "1000",
}


@dataclass(frozen=True)
class CheckSelection:
    """The checks of a run, what they ignore and their thresholds."""

    only: frozenset[str] = frozenset()
    """Ids; empty for all."""
    ignored: frozenset[tuple[str, str]] = frozenset()
    """Pairs of id and object, which may have * and ?; without an object the whole check."""
    warnings: Mapping[str, float] = field(default_factory=dict)
    """By id."""
    criticals: Mapping[str, float] = field(default_factory=dict)
    strict: bool = False
    timeout_seconds: float = TIMEOUT_SECONDS
    """For each statement of each check."""

    def includes(self, check_id: str) -> bool:
        if self.only and check_id not in self.only:
            return False
        return (check_id, "") not in self.ignored

    def ignores(self, check_id: str, name: str) -> bool:
        """Tell if findings about the object `name` are ignored."""
        return bool(name) and any(
            check_id == ignored and pattern and fnmatchcase(name, pattern)
            for ignored, pattern in self.ignored
        )

    def thresholds(self, check: Check) -> Thresholds | None:
        if check.thresholds is None:
            return None
        return replace(
            check.thresholds,
            warning=self.warnings.get(check.id, check.thresholds.warning),
            critical=self.criticals.get(check.id, check.thresholds.critical),
        )


def make_selection(
    checks: Iterable[Check],
    *,
    only: Iterable[str] = (),
    ignore: Iterable[str] = (),
    warn: Iterable[str] = (),
    crit: Iterable[str] = (),
    strict: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> CheckSelection:
    """`ignore` has id or id:object, `warn` and `crit` have id=value. Raises UsageError."""
    known = {check.id: check for check in checks}
    if timeout_seconds <= 0:
        raise UsageError(
            "--timeout must be greater than 0",
            why="--timeout 0 would wait forever, and no check may block the run",
            next_step=f"use --timeout {TIMEOUT_SECONDS:g}s",
            code="no_time",
        )
    ignored = [word.partition(":")[::2] for word in _split(ignore)]
    for check_id in [*_split(only), *(check_id for check_id, _ in ignored)]:
        _find(known, check_id)
    return CheckSelection(
        only=frozenset(_split(only)),
        ignored=frozenset(ignored),
        warnings=dict(_threshold(known, word, "--warn") for word in warn),
        criticals=dict(_threshold(known, word, "--crit") for word in crit),
        strict=strict,
        timeout_seconds=timeout_seconds,
    )


def _split(words: Iterable[str]) -> list[str]:
    """One id per word, or several with commas between them."""
    return [part for word in words for part in word.split(",") if part]


def _find(known: Mapping[str, Check], check_id: str) -> Check:
    if check_id in known:
        return known[check_id]
    close = difflib.get_close_matches(check_id, known, n=3)
    raise UsageError(
        f"there is no check {check_id}",
        why=f"did you mean {' or '.join(close)}?" if close else "that is not one of the ids",
        next_step=f"the ids are: {', '.join(known)}",
        code="unknown_check",
    )


def _threshold(known: Mapping[str, Check], word: str, option: str) -> tuple[str, float]:
    check_id, _, text = word.partition("=")
    check = _find(known, check_id)
    if check.thresholds is None:
        raise UsageError(
            f"{check_id} has no threshold",
            why="it does not measure a value",
            next_step=f"leave {option} {check_id} out, or use --ignore {check_id}",
            code="no_threshold",
        )
    unit = check.thresholds.unit
    try:
        return check_id, _parse_value(text, unit)
    except ValueError as error:
        raise UsageError(
            f"{text or 'nothing'} is not a threshold of {check_id}",
            why=f"its value is in {unit}, such as {EXAMPLES[unit]}",
            next_step=f"{option} {check_id}={EXAMPLES[unit].partition(' ')[0].rstrip(',')}",
            code="bad_threshold",
        ) from error


def _parse_value(text: str, unit: Unit) -> float:
    """Raises ValueError."""
    if unit is Unit.SECONDS:
        return parse_seconds(text)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z%]*)\s*", text.lower())
    if not match or match[2] not in FACTORS[unit]:
        raise ValueError(text)
    return float(match[1]) * FACTORS[unit][match[2]]
