"""The state in the form of a monitoring plugin: a status line with performance data, then what is
wrong line by line (https://nagios-plugins.org/doc/guidelines.html)."""

from __future__ import annotations

from collections.abc import Iterator

from aperture_db.health.report import HealthReport, Status, Thresholds, Unit, Verdict

SERVICE = "APERTURE-DB"
UNITS = {Unit.SECONDS: "s", Unit.PERCENT: "%", Unit.BYTES: "B", Unit.COUNT: ""}
MAX_REASONS = 3


def render_nagios(report: HealthReport) -> str:
    """The first line is what a notification shows."""
    first = f"{SERVICE} {report.verdict.name} - {_clean(_headline(report))}"
    data = " ".join(_performance(report))
    return "\n".join([f"{first} | {data}" if data else first, *_details(report)])


def render_nagios_failure(what: str, why: str) -> str:
    """For a run that could not look at all."""
    return f"{SERVICE} {Verdict.UNKNOWN.name} - {_clean(f'{what}: {why}')}"


def _headline(report: HealthReport) -> str:
    reasons = [f"{check.id}: {check.reason}" for check in report.problems]
    if not reasons:
        counts = report.counts
        return f"{counts[Status.OK]} ok, {counts[Status.INFO]} info"
    more = len(reasons) - MAX_REASONS
    return "; ".join(reasons[:MAX_REASONS]) + (f"; and {more} more" if more > 0 else "")


def _details(report: HealthReport) -> Iterator[str]:
    for check in report.problems:
        for finding in check.grave_findings:
            word = "unknown" if finding.status is Status.SKIPPED else finding.status.value
            yield _clean(f"{word} {check.id}: {finding.reason}")
            for step in finding.advice:
                yield _clean(f"  {step}")


def _performance(report: HealthReport) -> Iterator[str]:
    for check in report.checks:
        thresholds, value = check.thresholds, check.value
        if thresholds is None or value is None or isinstance(value, str):
            continue
        unit = UNITS[thresholds.unit]
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


def _clean(text: str) -> str:
    """A bar would start the performance data, a line break the details."""
    return " ".join(text.replace("|", "/").split(" ")).replace("\n", " ")
