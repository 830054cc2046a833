"""The views of `restore`: what it would do, and what it did."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from aperture_db.dumps.contents import DumpContents
from aperture_db.format import format_bytes, format_seconds, format_time, plural
from aperture_db.render.backup import format_migration
from aperture_db.render.table import make_table, unbroken
from aperture_db.restore.plan import RestorePlan
from aperture_db.restore.report import RestoreReport

# More tables than one version of Aperture ever added.
NAMED = 40


def render_plan(plan: RestorePlan) -> RenderableType:
    """The dump beside the database, then what stays, what is left out and who is connected."""
    contents = plan.contents
    table = make_table("", "now", "after the restore")
    table.add_row("tables", f"{len(plan.replaced_tables):,}", f"{len(plan.tables):,}")
    rows = "as many as the dump inserts" if plan.row_count is None else f"{plan.row_count:,}"
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


def _about(contents: DumpContents) -> str:
    made = f"made {format_time(contents.made_at)}, " if contents.made_at else ""
    checksum = "checksum right" if contents.is_sealed else "without a checksum"
    return f"{made}{format_bytes(contents.size_bytes)}, read to its end, {checksum}"


def _remarks(plan: RestorePlan) -> Iterator[str]:
    if not plan.contents.is_sealed:
        yield (
            "Its rows were read and are whole; that no bit is flipped in the definitions of its "
            "tables only a checksum could tell."
        )
    if gone := plan.gone_tables:
        more = f" and {len(gone) - NAMED} more" if len(gone) > NAMED else ""
        yield f"Not in the dump, so gone afterwards: {', '.join(gone[:NAMED])}{more}"
    if plan.replaced_others:
        others = ", ".join(plan.replaced_others)
        yield f"Not Aperture's, but in the dump, so they are replaced too: {others}"
    if plan.dropped:
        yield f"Dropped, as --others drop says: {', '.join(plan.dropped)}"
    if plan.kept:
        yield f"Not Aperture's, so they stay: {', '.join(plan.kept)}"
    if plan.left_out:
        yield f"In the dump, but not restored: {', '.join(plan.left_out)}"
    if plan.create_extensions:
        yield f"Extensions to be installed: {', '.join(plan.create_extensions)}"
    for session in plan.sessions:
        yield f"Connected: {session}"


def render_report(report: RestoreReport) -> RenderableType:
    """What is there now, what to run next, and last the command that undoes it."""
    return Group(*_report_lines(report))


def _report_lines(report: RestoreReport) -> Iterator[Text]:
    yield unbroken(f"Restored {report.path}")
    tables = plural(report.table_count, "table")
    yield Text(
        f"{tables} with {plural(report.row_count, 'row')}, compared with the dump, "
        f"in {format_seconds(report.duration_seconds)}."
    )
    if report.is_behind:
        yield Text(
            f"The database is at migration {format_migration(report.last_migration)} now and was "
            f"at {format_migration(report.previous_migration)}; before you start Aperture, run: "
            "aperture-db migrate"
        )
    else:
        yield Text("Aperture may be started again.")
    if report.undo_command:
        yield Text("To undo this:")
        yield unbroken(report.undo_command)
    else:
        yield Text("This can't be undone: there is no backup of what was replaced.")
