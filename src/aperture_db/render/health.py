"""Health for people, with what is wrong and how to mend it, and for Nagios and Prometheus.

https://nagios-plugins.org/doc/guidelines.html
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table

from aperture_db.format import format_time, pasteable, plural, visible
from aperture_db.health.report import Area, HealthReport, Result, Status, Thresholds, Unit, Verdict
from aperture_db.render.console import Advice, Text

INDENT = "  "
UNKNOWN = "unknown"


def render_health(report: HealthReport, *, verbose: bool = False) -> RenderableType:
    """All checks by area, then the problems with suggested fixes, then a summary line.

    `verbose` adds the reasons and the advice of the notes (info).
    """
    return Group(*_parts(report, verbose=verbose))


def render_watched(report: HealthReport, *, verbose: bool = False) -> RenderableType:
    """The same with the summary first: it stays visible on a screen that is too low for all."""
    moment = Text(format_time(report.checked_at), style="muted")
    parts: list[RenderableType] = [_summary(report), moment, ""]
    if report.problems:
        parts += [render_problems(report), ""]
    return Group(*parts, _table(report), *_remarks(report, verbose=verbose))


def _parts(report: HealthReport, *, verbose: bool) -> Iterator[RenderableType]:
    yield _table(report)
    if report.problems:
        yield ""
        yield render_problems(report)
    yield from _remarks(report, verbose=verbose)
    yield ""
    yield _summary(report)
    if report.with_status(Status.INFO) and not verbose:
        yield Text("To see the notes (info): aperture-db health -v", style="muted")


def _remarks(report: HealthReport, *, verbose: bool) -> Iterator[RenderableType]:
    skipped = [c for c in report.with_status(Status.SKIPPED) if c not in report.problems]
    if skipped:
        yield ""
        yield from _skipped(skipped)
    notes = report.with_status(Status.INFO)
    if notes and verbose:
        yield ""
        yield from _notes(notes)


def _table(report: HealthReport) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for area in Area:
        checks = [check for check in report.checks if check.area is area]
        if checks:
            table.add_row(Text(area.capitalize(), style="heading"))
        for check in checks:
            table.add_row(_status(check), check.id, check.summary)
    return table


def _status(check: Result) -> Text:
    word = UNKNOWN if check.is_unknown else check.status.value
    return Text(f"{INDENT}{word}", style=_style(check))


def _style(check: Result) -> str:
    return "warning" if check.is_unknown else check.status.value


def render_problems(report: HealthReport) -> RenderableType:
    """Every problem with its reasons and, under each, the suggested fix."""
    return Group(*_problem_lines(report.problems))


def _problem_lines(problems: Iterable[Result]) -> Iterator[RenderableType]:
    for number, check in enumerate(problems):
        if number:
            yield ""
        word = UNKNOWN if check.is_unknown else check.status.value
        yield Text.assemble((word, _style(check)), f"  {check.id}")
        for finding in check.grave_findings:
            yield _indented(finding.reason, 1)
            yield from _advice(finding.advice, 2)


def _indented(text: str, level: int, style: str = "") -> RenderableType:
    return Padding(Text(text, style=style), (0, 0, 0, len(INDENT) * level), expand=False)


def _advice(steps: Iterable[str], level: int) -> Iterator[RenderableType]:
    for step in steps:
        yield Advice(INDENT * level, step, "info")


def _skipped(checks: Iterable[Result]) -> Iterator[RenderableType]:
    """Those skipped for the same reason together."""
    grouped: dict[tuple[str | None, tuple[str, ...]], list[str]] = {}
    for check in checks:
        grouped.setdefault((check.reason, check.advice), []).append(check.id)
    for (reason, advice), ids in grouped.items():
        yield Text.assemble(("skipped", "skipped"), f"  {', '.join(ids)}")
        yield _indented(reason or "", 1)
        yield from _advice(advice, 2)


def _notes(checks: Iterable[Result]) -> Iterator[RenderableType]:
    for number, check in enumerate(checks):
        if number:
            yield ""
        yield Text.assemble(("info", "info"), f"  {check.id}")
        for finding in check.findings:
            yield _indented(finding.reason, 1)
        yield from _advice(check.advice, 2)


def _summary(report: HealthReport) -> RenderableType:
    counts = report.counts
    unknown = sum(check.status is Status.SKIPPED for check in report.problems)
    parts = [
        f"{counts[Status.CRITICAL]} critical" if counts[Status.CRITICAL] else "",
        plural(counts[Status.WARNING], "warning") if counts[Status.WARNING] else "",
        f"{unknown} unknown" if unknown else "",
        f"{counts[Status.OK]} ok",
        f"{counts[Status.INFO]} info" if counts[Status.INFO] else "",
        f"{counts[Status.SKIPPED] - unknown} skipped" if counts[Status.SKIPPED] > unknown else "",
    ]
    words, style = {
        Verdict.OK: ("Healthy", "ok"),
        Verdict.WARNING: ("Needs attention", "warning"),
        Verdict.CRITICAL: ("Not healthy", "critical"),
        Verdict.UNKNOWN: ("Partly unknown", "warning"),
    }[report.verdict]
    counted = ", ".join(filter(None, parts))
    where = f"{report.database} on {report.server}"
    return Text.assemble((words, style), f": {counted} ({where})")


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
    return "\n".join([f"{first} | {data}" if data else first, *_nagios_problems(report)])


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


def _nagios_problems(report: HealthReport) -> Iterator[str]:
    for check in report.problems:
        for finding in check.grave_findings:
            word = "unknown" if finding.status is Status.SKIPPED else finding.status.value
            yield _one_line(f"{word} {check.id}: {finding.reason}")
            for step in finding.advice:
                yield _one_line(f"  {pasteable(step)}")


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
    return visible(text.replace("|", "/"))


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
    return visible(value).replace("\\", "\\\\").replace('"', '\\"')
