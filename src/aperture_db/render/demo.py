"""The demo: its statistics, and how to connect to it."""

from __future__ import annotations

from rich.console import Group, RenderableType

from aperture_db.demo.home import DemoReport, Origin, Removed, Stopped
from aperture_db.render.console import Text
from aperture_db.render.stats import render_stats

ORIGINS = {
    Origin.CREATED: "was created and is running",
    Origin.STARTED: "was started and is running",
    Origin.FOUND_RUNNING: "is running",
}


def render_demo(report: DemoReport) -> RenderableType:
    """The statistics, and below them the commands that connect a shell to the demo."""
    return Group(render_stats(report.stats), Text(), *_directions(report))


def _directions(report: DemoReport) -> list[Text]:
    place = f"{report.host}:{report.port}"
    lines = [
        Text("Demo", style="heading"),
        Text(f"  The demo {ORIGINS[report.origin]} on {place}, with a sample library."),
    ]
    if report.shell_commands:
        lines += [Text("  Use it in this shell:"), Text()]
        lines += [
            Text(f"    {line}", style="info", no_wrap=True, overflow="ignore")
            for line in report.shell_commands
        ]
        lines.append(Text())
    else:
        lines.append(Text("  This shell uses it already."))
    lines += [
        Text("  Then try: aperture-db health"),
        Text(
            "  Stop it: aperture-db demo stop. Delete it: aperture-db demo remove.", style="muted"
        ),
    ]
    return lines


def render_stopped(stopped: Stopped) -> RenderableType:
    """One line."""
    if not stopped.was_running:
        return Text("The demo was not running.")
    return Text("The demo is stopped and its data is kept. Start it again: aperture-db demo")


def render_removed(removed: Removed) -> RenderableType:
    """One line."""
    if not removed.existed:
        return Text("There was no demo to delete.")
    return Text("The demo is deleted, with its server's programs and its backups.")
