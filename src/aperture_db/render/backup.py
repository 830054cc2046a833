"""The views of `backup`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Group, RenderableType

from aperture_db.backup.directory import BackupList, BackupState, ListedBackup
from aperture_db.backup.report import BackupReport
from aperture_db.dumps import Purpose
from aperture_db.dumps.contents import DumpContents
from aperture_db.format import (
    format_bytes,
    format_count,
    format_seconds,
    plural,
)
from aperture_db.render.console import Text, make_table, unbroken

STATE_STYLES = {
    BackupState.COMPLETE: "ok",
    BackupState.UNCHECKED: "muted",
    BackupState.EMPTY: "critical",
    BackupState.DAMAGED: "critical",
    BackupState.UNREADABLE: "warning",
}


def render_backup(report: BackupReport) -> RenderableType:
    """The path and contents of the backup, and the pruned ones."""
    return Group(*_report_lines(report))


def _report_lines(report: BackupReport) -> Iterator[Text]:
    backup = report.backup
    held = f"{plural(backup.table_count, 'table')} and {plural(backup.row_count, 'row')}"
    yield unbroken(f"Backed up to {backup.path}")
    yield Text(
        f"{format_bytes(backup.size_bytes)} ({backup.compression}) with {held}"
        f"{_at(backup.last_migration)}; {'not ' if backup.refusal else ''}verified; "
        f"took {format_seconds(backup.duration_seconds)}."
    )
    if report.pruned:
        names = ", ".join(path.name for path in report.pruned)
        yield Text(f"Kept the newest {report.keep}, deleted {names}.")


def _at(migration: str | None) -> str:
    return f", at migration {format_migration(migration)}" if migration else ""


def format_migration(name: str | None) -> str:
    """The number of a migration: 0114 for 0114_name.sql."""
    return name.partition("_")[0] if name else "none"


def render_list(backups: BackupList, now: datetime | None = None) -> RenderableType:
    """A line per file, newest first."""
    if not backups.backups:
        return Text(f"There are no backups in {backups.directory}.")
    table = make_table("backup", "age", "size", "state", right=("age", "size"))
    moment = now or datetime.now(UTC)
    for backup in backups.backups:
        age_seconds = (moment - backup.made_at).total_seconds()
        table.add_row(
            backup.name,
            format_seconds(age_seconds) if age_seconds >= 0 else "in the future",
            _size(backup),
            Text(backup.state.value, style=STATE_STYLES[backup.state]),
        )
    return Group(table, Text(), *(Text(line) for line in _list_notes(backups)))


def _size(backup: ListedBackup) -> str:
    method = "plain" if backup.compression == "none" else backup.compression or ""
    return f"{format_bytes(backup.size_bytes)} {method}".rstrip()


def _list_notes(backups: BackupList) -> Iterator[str]:
    count = plural(len(backups.backups), "file")
    yield f"{count}, {format_bytes(backups.total_bytes)} in {backups.directory}. Names are in UTC."
    safety = {Purpose.BEFORE_RESTORE, Purpose.BEFORE_PURGE}
    if any(backup.purpose in safety for backup in backups.backups):
        yield "Safety backups of restore and purge (aperture_before_…) are never pruned."
    if any(backup.state is BackupState.UNCHECKED for backup in backups.backups):
        yield "To check one that is not checked: aperture-db backup --verify FILE"


def describe_checksum(contents: DumpContents) -> str:
    """Whose checksum is right, if there is one."""
    if contents.checked_by is None:
        return "no checksum of aperture-db"
    return "checksum OK" if contents.has_checksum else f"checksum of {contents.checked_by} OK"


def render_contents(contents: DumpContents) -> RenderableType:
    """The contents of a verified dump."""
    made_by = f", by pg_dump {contents.dumped_by}" if contents.dumped_by else ""
    count = contents.row_count
    rows = "rows as INSERT statements" if count is None else f"{format_count(count)} rows"
    return Group(
        unbroken(f"{contents.path} is complete", style="ok"),
        Text(
            f"{format_bytes(contents.size_bytes)} ({contents.format}), "
            f"{describe_checksum(contents)}; "
            f"{plural(len(contents.tables), 'table')} with {rows}"
            f"{_at(contents.last_migration)}; "
            f"from PostgreSQL {contents.dumped_from or 'of unknown version'}{made_by}"
        ),
    )
