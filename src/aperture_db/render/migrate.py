"""The views of `migrate` and of `check-extensions`: what Aperture needs in its database."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table

from aperture_db.extensions.report import (
    ADVISED_MAJOR,
    ExtensionChange,
    ExtensionsReport,
    ExtensionState,
    Probe,
    ProbeOutcome,
    ServerAccess,
)
from aperture_db.format import format_seconds, format_time, plural
from aperture_db.migrations import (
    DryRun,
    MarkedMigrations,
    MigrateReport,
    MigrationStatus,
    State,
)
from aperture_db.render.console import NOTHING, Text, make_table

TIME_WIDTH = len("2026-01-31 03:30:00 UTC")
UP_TO_DATE = "Database is up to date"
STATE_STYLES = {State.APPLIED: "ok", State.PENDING: "warning", State.UNKNOWN: "info"}


def render_status(status: MigrationStatus) -> RenderableType:
    """Every migration with its state, and a line that sums them up."""
    table = Table(box=None, pad_edge=False, header_style="table.header")
    # In a narrow terminal the names are broken: states and times are what is looked for.
    table.add_column("migration", overflow="fold")
    table.add_column("state", no_wrap=True, min_width=max(map(len, State)))
    table.add_column("applied at", no_wrap=True, min_width=TIME_WIDTH)
    for migration in status.migrations:
        applied_at = format_time(migration.applied_at) if migration.applied_at else ""
        state = Text(migration.state, style=STATE_STYLES[migration.state])
        table.add_row(migration.name, state, applied_at)
    return Group(table, Text(), Text(_summarize(status)))


def _summarize(status: MigrationStatus) -> str:
    applied, pending, unknown = (
        len(status.names(state)) for state in (State.APPLIED, State.PENDING, State.UNKNOWN)
    )
    parts = [f"{applied:,} applied", f"{pending:,} pending"]
    if unknown:
        parts.append(f"{unknown:,} recorded but not in the directory")
    summary = ", ".join(parts)
    if status.has_untracked_schema:
        return f"{summary}; Aperture's tables are there without a record of how they were made"
    return f"{summary}. {UP_TO_DATE}." if not pending else f"{summary}."


def render_report(report: MigrateReport) -> RenderableType:
    """One line for the outcome."""
    duration = format_seconds(report.duration_seconds)
    count = plural(len(report.applied), "migration")
    if report.is_rehearsal and report.applied:
        return Text(f"Rehearsed {count} in {duration}; all of it was rolled back.")
    sentences = []
    if report.applied:
        sentences.append(f"Applied {count} in {duration}.")
    if report.applied_elsewhere:
        others = plural(len(report.applied_elsewhere), "migration")
        sentences.append(f"Another runner applied {others} meanwhile.")
    still = plural(len(report.pending), "migration")
    sentences.append(f"{still} still pending." if report.pending else f"{UP_TO_DATE}.")
    return Text(" ".join(sentences))


def render_dry_run(dry_run: DryRun) -> RenderableType:
    """The names in order, then how many."""
    if not dry_run.pending:
        return Text(f"{UP_TO_DATE}.")
    count = plural(len(dry_run.pending), "migration")
    return Group(*dry_run.pending, "", f"{count} would be applied")


def render_marked(marked: MarkedMigrations) -> RenderableType:
    """The names that were recorded."""
    if not marked.marked:
        return Text("Nothing was marked: all of these are recorded already")
    count = plural(len(marked.marked), "migration")
    return Group(*marked.marked, "", f"{count} recorded as applied, none was run")


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
