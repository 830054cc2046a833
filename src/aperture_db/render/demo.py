"""The demo: what it holds, and how to use it."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from aperture_db.demo.report import DemoReport, Origin, Stopped
from aperture_db.render.stats import render_stats

ORIGINS = {
    Origin.CREATED: "is created and runs",
    Origin.STARTED: "runs again",
    Origin.FOUND_RUNNING: "runs",
}


def render_demo(report: DemoReport) -> RenderableType:
    """The statistics, and below them the line that points a shell at the demo."""
    return Group(render_stats(report.stats), Text(), *_directions(report))


def _directions(report: DemoReport) -> list[Text]:
    place = f"{report.host}:{report.port}"
    lines = [
        Text("Demo", style="heading"),
        Text(f"  The demo {ORIGINS[report.origin]} on {place}, with a sample library."),
    ]
    if report.shell_commands:
        lines += [Text("  Point this shell at it:"), Text()]
        lines += [
            Text(f"    {line}", style="info", no_wrap=True, overflow="ignore")
            for line in report.shell_commands
        ]
        lines.append(Text())
    else:
        lines.append(Text("  This shell points at it."))
    lines += [
        Text("  Then try: aperture-db health"),
        Text(
            "  Stop it: aperture-db demo stop. Start over: aperture-db demo reset.", style="muted"
        ),
    ]
    return lines


def render_stopped(stopped: Stopped) -> RenderableType:
    """One line."""
    if not stopped.was_running:
        return Text("The demo was not running.")
    return Text("The demo is stopped. Its data stays; start it again with: aperture-db demo")
