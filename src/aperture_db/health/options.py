"""Reads what the options of `health` say about checks: ids, objects and thresholds."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from aperture_db.errors import UsageError
from aperture_db.health.check import TIMEOUT_SECONDS, Check
from aperture_db.health.report import Unit
from aperture_db.health.selection import Selection

FACTORS: Mapping[Unit, Mapping[str, float]] = {
    Unit.SECONDS: {
        "": 1, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400,
    },
    Unit.PERCENT: {"": 1, "%": 1},
    Unit.BYTES: {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40},
    Unit.COUNT: {"": 1},
}  # fmt: skip
EXAMPLES: Mapping[Unit, str] = {
    Unit.SECONDS: "300, 5m or 2h",
    Unit.PERCENT: "80 or 80%",
    Unit.BYTES: "500MB or 2GB",
    Unit.COUNT: "1000",
}


def make_selection(
    checks: Iterable[Check],
    *,
    only: Iterable[str] = (),
    ignore: Iterable[str] = (),
    warn: Iterable[str] = (),
    crit: Iterable[str] = (),
    strict: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Selection:
    """`ignore` has id or id:object, `warn` and `crit` have id=value. Raises UsageError."""
    known = {check.id: check for check in checks}
    if timeout_seconds <= 0:
        raise UsageError(
            "a check needs some time",
            why="--timeout 0 would wait for ever, and no check may hold the run up",
            next_step=f"give --timeout {TIMEOUT_SECONDS:g}s",
            code="no_time",
        )
    ignored = [word.partition(":")[::2] for word in _split(ignore)]
    for check_id in [*_split(only), *(check_id for check_id, _ in ignored)]:
        _find(known, check_id)
    return Selection(
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
            why="it measures nothing that could be more or less",
            next_step=f"leave {option} {check_id} out, or use --ignore {check_id}",
            code="no_threshold",
        )
    unit = check.thresholds.unit
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z%]*)\s*", text.lower())
    if not match or match[2] not in FACTORS[unit]:
        raise UsageError(
            f"{text or 'nothing'} is not a threshold of {check_id}",
            why=f"its value is in {unit}, such as {EXAMPLES[unit]}",
            next_step=f"{option} {check_id}={EXAMPLES[unit].partition(' ')[0].rstrip(',')}",
            code="bad_threshold",
        )
    return check_id, float(match[1]) * FACTORS[unit][match[2]]
