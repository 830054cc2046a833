"""The view of `health` for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aperture_db.format import format_time, plural
from aperture_db.health.report import Area, HealthReport, Result, Status, Verdict
from aperture_db.render.table import unbroken

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
    """Commands and SQL are never wrapped, sentences may be."""
    for step in steps:
        if step.endswith(";") or step.startswith("aperture-db "):
            yield unbroken(INDENT * level + step, "info")
        else:
            yield _indented(step, level, "info")


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


def _summary(report: HealthReport) -> Text:
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
