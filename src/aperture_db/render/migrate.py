"""Migration status and reports as tables and lines."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aperture_db.format import format_seconds, format_time, plural
from aperture_db.migrations.report import (
    DryRun,
    MarkedMigrations,
    MigrateReport,
    MigrationStatus,
    State,
)

UP_TO_DATE = "Database is up to date"
STATE_STYLES = {State.APPLIED: "ok", State.PENDING: "warning", State.UNKNOWN: "info"}


def render_status(status: MigrationStatus) -> RenderableType:
    """Every migration with its state, and a line that sums them up."""
    table = Table(box=None, pad_edge=False, header_style="table.header")
    table.add_column("migration", no_wrap=True, overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("applied at", no_wrap=True)
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
    return Text("\n".join([*dry_run.pending, "", f"{count} would be applied"]))


def render_marked(marked: MarkedMigrations) -> RenderableType:
    """The names that were recorded."""
    if not marked.marked:
        return Text("Nothing was marked: all of these are recorded already")
    count = plural(len(marked.marked), "migration")
    return Text("\n".join([*marked.marked, "", f"{count} recorded as applied, none was run"]))
