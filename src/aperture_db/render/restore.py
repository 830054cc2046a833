"""The views of `restore`: the plan and the report."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType

from aperture_db.dumps.contents import DumpContents
from aperture_db.format import format_bytes, format_seconds, format_time, list_some, plural
from aperture_db.render.backup import describe_checksum, format_migration
from aperture_db.render.console import Text, dry_run_ending, make_table, unbroken
from aperture_db.restore.plan import RestorePlan
from aperture_db.restore.report import DrillReport, RestoreReport

# More tables than one version of Aperture ever added.
NAMED = 40


def render_plan(plan: RestorePlan) -> RenderableType:
    """The dump compared with the database, then exceptions and connected sessions."""
    contents = plan.contents
    table = make_table("", "now", "after the restore")
    table.add_row("tables", f"{len(plan.replaced_tables):,}", f"{len(plan.tables):,}")
    rows = "unknown (INSERT statements)" if plan.row_count is None else f"{plan.row_count:,}"
    table.add_row("rows", f"{plan.replaced_row_count:,}", rows)
    table.add_row(
        "migration",
        format_migration(plan.current_migration),
        format_migration(contents.last_migration),
    )
    table.add_row("PostgreSQL", plan.server.version, f"dumped from {contents.dumped_from}")
    return Group(
        unbroken(f"Dump: {contents.path}"),
        Text(_about(contents)),
        Text(),
        table,
        *map(Text, _remarks(plan)),
    )


def render_dry_run(plan: RestorePlan, command: str) -> RenderableType:
    """The plan, and the command that carries it out."""
    return Group(render_plan(plan), *dry_run_ending(command))


def _about(contents: DumpContents) -> str:
    made = f"made {format_time(contents.made_at)}, " if contents.made_at else ""
    size = format_bytes(contents.size_bytes)
    return f"{made}{size}, complete, {describe_checksum(contents)}"


def _remarks(plan: RestorePlan) -> Iterator[str]:
    superuser = ", a superuser" if plan.server.is_superuser else ""
    yield (
        f"The SQL of the dump runs with the privileges of {plan.server.role}{superuser}. Restore "
        "only files that you trust."
    )
    if plan.contents.checked_by is None:
        yield (
            "All rows were read. Without a checksum, damage in the definitions of tables cannot be "
            "ruled out."
        )
    lists = (
        ("Will be deleted (not in the dump)", plan.gone_tables),
        ("Will be replaced (not Aperture's, but in the dump)", plan.replaced_others),
        ("Will be dropped (--others drop)", plan.dropped),
        ("Will be kept (not Aperture's)", plan.kept),
        ("Will be kept on the restored tables", plan.kept_attachments),
        ("Cannot be kept on the restored tables", plan.lost_attachments),
        ("In the dump, but will not be restored", plan.left_out),
    )
    for title, names in lists:
        if names:
            yield f"{title}: {list_some(names, NAMED)}"
    if plan.create_extensions:
        yield f"Will be created: extensions {', '.join(plan.create_extensions)}"
    for session in plan.sessions:
        yield f"Connected: {session}"


def render_drill(report: DrillReport) -> RenderableType:
    """The restored contents, and with what they were compared."""
    tables = plural(report.table_count, "table")
    made = f", made {format_time(report.made_at)}" if report.made_at else ""
    lines = [
        unbroken(f"{report.path} can be restored", style="ok"),
        Text(
            f"{format_bytes(report.size_bytes)}{made}; {tables} with "
            f"{plural(report.row_count, 'row')}, at migration "
            f"{format_migration(report.last_migration)}, compared with the dump."
        ),
    ]
    if report.differences:
        count = plural(len(report.differences), "difference")
        lines.append(Text(f"{count} to the database's structure.", style="warning"))
    elif report.is_compared_with_live:
        lines.append(Text("The structure equals the database's."))
    if report.findings:
        lines.append(Text("Before Aperture could start with it:"))
        lines += (Text(f"  {finding}") for finding in report.findings)
    else:
        lines.append(Text("Extensions, migrations and default rows were checked."))
    lines.append(
        Text(
            f"The scratch database had {format_bytes(report.database_bytes)} and is dropped; "
            f"restoring took {format_seconds(report.restore_seconds)}, the drill "
            f"{format_seconds(report.duration_seconds)}."
        )
    )
    return Group(*lines)


def render_report(report: RestoreReport) -> RenderableType:
    """The restored contents, the next step, and the command that undoes the restore."""
    return Group(*_report_lines(report))


def _report_lines(report: RestoreReport) -> Iterator[Text]:
    yield unbroken(f"Restored {report.path}")
    tables = plural(report.table_count, "table")
    yield Text(
        f"{tables} with {plural(report.row_count, 'row')}, compared with the dump; "
        f"took {format_seconds(report.duration_seconds)}."
    )
    if report.is_behind:
        yield Text(
            f"The database is at migration {format_migration(report.last_migration)} now and was "
            f"at {format_migration(report.previous_migration)}. Before you start Aperture, run: "
            "aperture-db migrate"
        )
    if report.findings:
        yield Text("Before you start Aperture:")
        yield from (Text(f"  {finding}") for finding in report.findings)
    elif not report.is_behind:
        yield Text(
            "Extensions, migrations and default rows were checked. You can start Aperture again."
        )
    if report.undo_command:
        yield Text("To undo this:")
        yield unbroken(report.undo_command)
    else:
        yield Text("This cannot be undone: no safety backup was made.")
