"""The state in Prometheus' text format, for the node exporter's textfile collector or a push
gateway (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from aperture_db.health.report import HealthReport, Result, Status, Unit

STATUS_NUMBERS = {
    Status.SKIPPED: -1,
    Status.OK: 0,
    Status.INFO: 1,
    Status.WARNING: 2,
    Status.CRITICAL: 3,
}
# Base units, as Prometheus wants them: a percentage becomes a ratio.
SUFFIXES = {
    Unit.SECONDS: ("seconds", 1.0),
    Unit.PERCENT: ("ratio", 0.01),
    Unit.BYTES: ("bytes", 1.0),
    Unit.COUNT: ("number", 1.0),
}


@dataclass(frozen=True)
class Sample:
    labels: Mapping[str, str]
    value: float


def render_prometheus(report: HealthReport) -> str:
    """Every metric with its help and type; the text ends with a line break."""
    lines = [line for block in _blocks(report) for line in block]
    return "".join(f"{line}\n" for line in lines)


def _blocks(report: HealthReport) -> Iterator[list[str]]:
    base = {"server": report.server, "database": report.database}
    yield _metric(
        "aperture_db_up",
        "Whether the server can be reached.",
        [Sample(base, 0 if report.error else 1)],
    )
    yield _metric(
        "aperture_db_health",
        "The whole: 0 ok, 1 warning, 2 critical, 3 unknown.",
        [Sample(base, report.verdict.exit_code)],
    )
    yield _metric(
        "aperture_db_checked_timestamp_seconds",
        "When the checks ran.",
        [Sample(base, report.checked_at.timestamp())],
    )
    yield _metric(
        "aperture_db_check_status",
        "One check: -1 skipped, 0 ok, 1 info, 2 warning, 3 critical.",
        [Sample(_labels(base, c), STATUS_NUMBERS[c.status]) for c in report.checks],
    )
    yield _metric(
        "aperture_db_check_duration_seconds",
        "How long the check took.",
        [Sample(_labels(base, check), check.duration_seconds) for check in report.checks],
    )
    yield from _values(report.checks, base)


def _values(checks: Iterable[Result], base: Mapping[str, str]) -> Iterator[list[str]]:
    measured = list(checks)
    for unit, (suffix, factor) in SUFFIXES.items():
        samples = [
            Sample(_labels(base, check), float(check.value) * factor)
            for check in measured
            if check.thresholds
            and check.thresholds.unit is unit
            and check.value is not None
            and not isinstance(check.value, str)
        ]
        if samples:
            yield _metric(f"aperture_db_check_value_{suffix}", "What the check measured.", samples)


def _labels(base: Mapping[str, str], check: Result) -> dict[str, str]:
    return {**base, "area": check.area.value, "check": check.id}


def _metric(name: str, help_text: str, samples: Iterable[Sample]) -> list[str]:
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} gauge"]
    for sample in samples:
        labels = ",".join(f'{key}="{_escape(value)}"' for key, value in sample.labels.items())
        lines.append(f"{name}{{{labels}}} {sample.value:.10g}")
    return lines


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
