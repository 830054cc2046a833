"""`aperture-db restore`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from aperture_db.cli.backup import read_restorable_dump
from aperture_db.cli.command import command
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.options import ConfirmOption, parse_duration, require_confirmation
from aperture_db.cli.run import Run
from aperture_db.errors import ApertureDbError
from aperture_db.format import plural
from aperture_db.restore import OtherTables

with lazy_imports():
    from aperture_db import progress
    from aperture_db.backup import directory as backups
    from aperture_db.backup import settings
    from aperture_db.postgres import connection
    from aperture_db.render import restore as view
    from aperture_db.restore import apply, plan, results, sessions

app = typer.Typer(add_completion=False)


@command(
    app,
    "restore",
    examples=[
        "aperture-db restore aperture_backup_2026-01-31_03-30-00.dump --dry-run",
        "aperture-db restore aperture_backup_2026-01-31_03-30-00.dump",
        "aperture-db backup --list",
    ],
)
def restore(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A dump: .dump, .sql or .sql.gz.")],
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Verify the dump and show the plan only."),
    ] = False,
    confirm: ConfirmOption = None,
    terminate: Annotated[
        bool,
        typer.Option("--terminate-sessions", help="Terminate other sessions of the database."),
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Directory for the safety backup (default: the backup directory, else next to "
            "FILE).",
        ),
    ] = None,
    unsaved: Annotated[
        bool,
        typer.Option(
            "--no-safety-backup",
            help="Make no safety backup. The restore cannot be undone then.",
        ),
    ] = False,
    others: Annotated[
        OtherTables | None,
        typer.Option(help="Keep or drop tables that a newer Aperture may have created."),
    ] = None,
    lock_timeout: Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", help="Wait this long for a locked table."
        ),
    ] = "10s",  # type: ignore[assignment]
) -> None:
    """Replace the database's contents with a dump.

    The dump is verified and a safety backup is made first. The restore is one transaction and
    is compared with the dump; if anything fails, the database is unchanged.
    """
    configured = _read_settings(run)
    path = backups.locate(file, backups.choose_directory(directory, configured))
    dump = read_restorable_dump(run, path)
    with run.connect() as conn:
        planned = plan.plan(conn, dump, others=others, lock_timeout_seconds=lock_timeout)
        run.data = planned
        for warning in planned.warnings:
            run.warn(warning)
        if dry_run:
            run.show(planned, view.render_plan)
            return
        if not run.options.quiet:
            run.err.print_result(view.render_plan(planned))
        save_to = None if unsaved else _safety_directory(planned, directory, configured)
        _require_consent(run, planned, confirm, save_to, terminate=terminate)
        _apply(run, conn, planned, results.RestoreOptions(lock_timeout, save_to, terminate))


def _read_settings(run: Run) -> settings.BackupSettings | None:
    """Aperture's settings for backups. Read before the dump, so that a database that cannot be
    reached is reported before a long read."""
    with run.connect(read_only=True) as conn:
        return settings.read_settings(conn)


def _safety_directory(
    planned: plan.RestorePlan, option: Path | None, configured: settings.BackupSettings | None
) -> Path | None:
    """None for an empty database without a directory to back it up to."""
    try:
        return plan.safety_directory(configured, option, planned.contents.path)
    except ApertureDbError:
        if planned.is_database_empty:
            return None
        raise


def _require_consent(
    run: Run, planned: plan.RestorePlan, given: str | None, save_to: Path | None, *, terminate: bool
) -> None:
    """Raise BusyError for sessions without --terminate-sessions, NotConfirmedError without the
    phrase."""
    if planned.sessions and not terminate:
        raise sessions.describe_refusal(planned.sessions)
    tables = plural(len(planned.replaced_tables), "table")
    rows = plural(planned.replaced_row_count, "row")
    question = f"This replaces {tables} with {rows} in {run.target}."
    if planned.sessions:
        question += f"\nIt terminates {plural(len(planned.sessions), 'session')} first."
    question += (
        f"\nA safety backup is made in {save_to}."
        if save_to
        else "\nNo safety backup is made: this cannot be undone."
    )
    require_confirmation(run, given, question)


def _apply(
    run: Run,
    conn: connection.Connection,
    planned: plan.RestorePlan,
    options: results.RestoreOptions,
) -> None:
    run.interrupted_note = "nothing was restored, the database is unchanged"
    events = apply.apply(run.target, conn, planned, options)
    with run.reporter() as reporter, closing(events):
        for event in reporter.report(events):
            match event:
                case results.SafetyBackupMade(backup):
                    reporter.line(f"Safety backup: {backup.path}")
                case progress.Committing():
                    run.interrupted_note = (
                        "the restore was being committed: aperture-db stats shows the "
                        "migration of the database"
                    )
                case progress.Committed():
                    run.interrupted_note = "the dump was restored; only statistics are missing"
                case results.Restored(result):
                    report = result
    run.show(report, view.render_report)
