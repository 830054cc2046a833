"""The view of `check-extensions`."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from aperture_db.extensions.report import (
    ADVISED_MAJOR,
    ExtensionChange,
    ExtensionsReport,
    ExtensionState,
    Probe,
    ProbeOutcome,
    ServerAccess,
)
from aperture_db.render.console import NOTHING, make_table

STATES = {
    ExtensionState.OK: ("ok", "ok"),
    ExtensionState.OUTDATED: ("outdated", "warning"),
    ExtensionState.TOO_OLD: ("too old", "critical"),
    ExtensionState.NOT_INSTALLED: ("not installed", "critical"),
    ExtensionState.UNREACHABLE: ("not reachable", "critical"),
    ExtensionState.UNAVAILABLE: ("not available", "critical"),
}
OUTCOMES = {
    ProbeOutcome.PASSED: "ok",
    ProbeOutcome.FAILED: "critical",
    ProbeOutcome.SKIPPED: "skipped",
}


def render_extensions(report: ExtensionsReport) -> RenderableType:
    """Changes, extensions, probes, the server and the role."""
    return Group(*_parts(report))


def _parts(report: ExtensionsReport) -> Iterator[RenderableType]:
    for change in report.changes:
        yield _change_line(change, report)
    if report.changes:
        yield ""
    table = make_table("extension", "installed", "available", "state", "needed for")
    for extension in report.extensions:
        table.add_row(
            extension.name,
            extension.installed_version or NOTHING,
            extension.available_version or NOTHING,
            Text(*STATES[extension.state]),
            extension.needed_for,
        )
    yield table
    if report.probes:
        yield ""
        yield _probe_table(report.probes)
    yield ""
    yield _server_line(report.server)
    yield _role_line(report)


def _change_line(change: ExtensionChange, report: ExtensionsReport) -> Text:
    if change.refusal:
        return Text(f"refused: {change.statement}: {change.refusal}", style="critical")
    now = next(e.installed_version for e in report.extensions if e.name == change.name)
    if change.previous_version is None:
        return Text(f"created {change.name} {now}", style="ok")
    return Text(f"updated {change.name} from {change.previous_version} to {now}", style="ok")


def _probe_table(probes: tuple[Probe, ...]) -> RenderableType:
    table = make_table("extension", "probe", "result", "detail")
    for probe in probes:
        outcome = Text(probe.outcome.value, style=OUTCOMES[probe.outcome])
        table.add_row(probe.extension, probe.what, outcome, probe.detail)
    return table


def _server_line(server: ServerAccess) -> Text:
    advised = f"; {ADVISED_MAJOR} or newer is advised" if server.is_old else ""
    standby = "; a standby: make changes on its primary" if server.is_standby else ""
    return Text(f"Server: {server}{advised}{standby}")


def _role_line(report: ExtensionsReport) -> Text:
    server = report.server
    if server.is_superuser:
        may = "is a superuser and may create every extension"
    elif server.has_admin_role:
        may = f"is a member of {server.place.admin_role} and may create what the service offers"
    elif server.may_create_in_database:
        trusted = ", ".join(e.name for e in report.extensions if e.is_trusted)
        may = f"may create trusted extensions only ({trusted or 'none of these is trusted'})"
    else:
        may = "may not create extensions"
    return Text(f"Role:   {server.role} {may}")
