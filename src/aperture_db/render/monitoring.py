"""`health` for monitoring: the output of a Nagios plugin, and Prometheus' text format.

https://nagios-plugins.org/doc/guidelines.html
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from aperture_db.health.report import HealthReport, Result, Status, Thresholds, Unit, Verdict

SERVICE = "APERTURE-DB"
NAGIOS_UNITS = {Unit.SECONDS: "s", Unit.PERCENT: "%", Unit.BYTES: "B", Unit.COUNT: ""}
MAX_REASONS = 3
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


def render_nagios(report: HealthReport) -> str:
    """The first line is shown in notifications."""
    first = f"{SERVICE} {report.verdict.name} - {_one_line(_headline(report))}"
    data = " ".join(_performance_data(report))
    return "\n".join([f"{first} | {data}" if data else first, *_problem_lines(report)])


def render_nagios_failure(what: str, why: str) -> str:
    """The status line of a run that could not check anything."""
    return f"{SERVICE} {Verdict.UNKNOWN.name} - {_one_line(f'{what}: {why}')}"


def _headline(report: HealthReport) -> str:
    reasons = [f"{check.id}: {check.reason}" for check in report.problems]
    if not reasons:
        counts = report.counts
        return f"{counts[Status.OK]} ok, {counts[Status.INFO]} info"
    more = len(reasons) - MAX_REASONS
    return "; ".join(reasons[:MAX_REASONS]) + (f"; and {more} more" if more > 0 else "")


def _problem_lines(report: HealthReport) -> Iterator[str]:
    for check in report.problems:
        for finding in check.grave_findings:
            word = "unknown" if finding.status is Status.SKIPPED else finding.status.value
            yield _one_line(f"{word} {check.id}: {finding.reason}")
            for step in finding.advice:
                yield _one_line(f"  {step}")


def _performance_data(report: HealthReport) -> Iterator[str]:
    for check in report.checks:
        thresholds, value = check.thresholds, check.value
        if thresholds is None or value is None or isinstance(value, str):
            continue
        unit = NAGIOS_UNITS[thresholds.unit]
        maximum = "100" if thresholds.is_low_bad and thresholds.unit is Unit.PERCENT else ""
        fields = [f"{_number(value)}{unit}", *_ranges(thresholds), "0", maximum]
        yield f"{check.id}={';'.join(fields)}"


def _ranges(thresholds: Thresholds) -> Iterator[str]:
    """`10` alerts above 10, `10:` below."""
    for limit in (thresholds.warning, thresholds.critical):
        colon = ":" if thresholds.is_low_bad else ""
        yield "" if limit is None else f"{_number(limit)}{colon}"


def _number(value: float) -> str:
    """Without an exponent, which the format does not know."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def _one_line(text: str) -> str:
    """A bar would start the performance data, a line break the details."""
    return text.replace("|", "/").replace("\n", " ")


@dataclass(frozen=True)
class MetricValue:
    labels: Mapping[str, str]
    value: float


def render_prometheus(report: HealthReport) -> str:
    """Every metric with its help and type; the text ends with a line break."""
    lines = [line for block in _metrics(report) for line in block]
    return "".join(f"{line}\n" for line in lines)


def _metrics(report: HealthReport) -> Iterator[list[str]]:
    base = {"server": report.server, "database": report.database}
    yield _metric(
        "aperture_db_up",
        "1 if the server can be reached.",
        [MetricValue(base, 0 if report.error else 1)],
    )
    yield _metric(
        "aperture_db_health",
        "Overall status: 0 ok, 1 warning, 2 critical, 3 unknown.",
        [MetricValue(base, report.verdict.exit_code)],
    )
    yield _metric(
        "aperture_db_checked_timestamp_seconds",
        "Time of the checks.",
        [MetricValue(base, report.checked_at.timestamp())],
    )
    yield _metric(
        "aperture_db_check_status",
        "Status of a check: -1 skipped, 0 ok, 1 info, 2 warning, 3 critical.",
        [MetricValue(_labels(base, c), STATUS_NUMBERS[c.status]) for c in report.checks],
    )
    yield _metric(
        "aperture_db_check_duration_seconds",
        "Duration of the check.",
        [MetricValue(_labels(base, check), check.duration_seconds) for check in report.checks],
    )
    yield from _measured_values(report.checks, base)


def _measured_values(checks: Iterable[Result], base: Mapping[str, str]) -> Iterator[list[str]]:
    measured = list(checks)
    for unit, (suffix, factor) in SUFFIXES.items():
        values = [
            MetricValue(_labels(base, check), float(check.value) * factor)
            for check in measured
            if check.thresholds
            and check.thresholds.unit is unit
            and check.value is not None
            and not isinstance(check.value, str)
        ]
        if values:
            yield _metric(
                f"aperture_db_check_value_{suffix}", "Value that the check measured.", values
            )


def _labels(base: Mapping[str, str], check: Result) -> dict[str, str]:
    return {**base, "area": check.area.value, "check": check.id}


def _metric(name: str, help_text: str, values: Iterable[MetricValue]) -> list[str]:
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} gauge"]
    for value in values:
        labels = ",".join(f'{key}="{_escape(text)}"' for key, text in value.labels.items())
        lines.append(f"{name}{{{labels}}} {value.value:.10g}")
    return lines


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
