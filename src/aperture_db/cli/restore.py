"""`aperture-db restore`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aperture_db.cli.backup import read_dump
from aperture_db.cli.command import command
from aperture_db.cli.options import ConfirmOption, parse_duration, require_confirmation
from aperture_db.cli.run import Run
from aperture_db.errors import ApertureDbError
from aperture_db.format import plural
from aperture_db.restore.others import Others

if TYPE_CHECKING:
    from aperture_db.backup.settings import BackupSettings
    from aperture_db.postgres.connection import Connection
    from aperture_db.restore.plan import RestorePlan
    from aperture_db.restore.report import Options


app = typer.Typer(add_completion=False)


@command(app, "restore")
def restore(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A dump: .dump, .sql or .sql.gz.")],
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Read the dump, say what would happen, and stop."),
    ] = False,
    confirm: ConfirmOption = None,
    terminate: Annotated[
        bool,
        typer.Option("--terminate-sessions", help="End the other sessions of the database."),
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Where the backup of what is replaced goes; else where backups are, "
            "else beside FILE.",
        ),
    ] = None,
    unsaved: Annotated[
        bool,
        typer.Option(
            "--no-safety-backup",
            help="Do not back up what is replaced. Then nothing can undo the restore.",
        ),
    ] = False,
    others: Annotated[
        Others | None,
        typer.Option(
            help="What to do with tables that may be a newer Aperture's.",
        ),
    ] = None,
    lock_timeout: Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", help="Wait this long for a locked table."
        ),
    ] = "10s",  # type: ignore[assignment]
) -> None:
    """Replace what the database holds by a dump.

    The dump is read to its end first, and what is replaced is backed up. Everything happens
    in one transaction and is compared with the dump: a failure leaves the database as it was.
    """
    from aperture_db.dumps.fitness import require_restorable
    from aperture_db.render.restore import render_plan
    from aperture_db.restore.plan import plan
    from aperture_db.restore.report import Options

    settings = _read_settings(run)
    contents = read_dump(run, _locate(file, directory, settings))
    require_restorable(contents)
    with run.connect() as conn:
        planned = plan(conn, contents, others=others, lock_timeout_seconds=lock_timeout)
        run.data = planned
        for warning in planned.warnings:
            run.warn(warning)
        if dry_run:
            run.show(planned, render_plan)
            return
        if not run.options.quiet:
            run.err.print_result(render_plan(planned))
        save_to = None if unsaved else _safety_directory(planned, directory, settings)
        _require_consent(run, planned, confirm, save_to, terminate=terminate)
        _apply(run, conn, planned, Options(lock_timeout, save_to, terminate))


def _read_settings(run: Run) -> BackupSettings | None:
    """Aperture's settings for backups. Reading a large dump takes a while, so that a database
    that can't be reached is better known before."""
    from aperture_db.backup.settings import read_settings

    with run.connect(read_only=True) as conn:
        return read_settings(conn)


def _locate(file: Path, directory: Path | None, settings: BackupSettings | None) -> Path:
    from aperture_db.backup.directory import choose_directory, locate

    return locate(file, choose_directory(directory, settings))


def _safety_directory(
    planned: RestorePlan, option: Path | None, settings: BackupSettings | None
) -> Path | None:
    """None where there is nothing to save and no place for it either."""
    from aperture_db.restore.directory import safety_directory

    try:
        return safety_directory(settings, option, planned.contents.path)
    except ApertureDbError:
        if planned.is_database_empty:
            return None
        raise


def _require_consent(
    run: Run, planned: RestorePlan, given: str | None, save_to: Path | None, *, terminate: bool
) -> None:
    """Raise BusyError for sessions that may not be ended, NotConfirmedError without the phrase."""
    from aperture_db.restore.sessions import describe_refusal

    if planned.sessions and not terminate:
        raise describe_refusal(planned.sessions)
    tables = plural(len(planned.replaced_tables), "table")
    rows = plural(planned.replaced_row_count, "row")
    question = f"This replaces {tables} with {rows} in {run.target}."
    if planned.sessions:
        question += f"\nIt ends {plural(len(planned.sessions), 'session')} first."
    question += (
        f"\nWhat is replaced is backed up to {save_to}."
        if save_to
        else "\nThere will be no backup of it: this cannot be undone."
    )
    require_confirmation(run, given, question)


def _apply(run: Run, conn: Connection, planned: RestorePlan, options: Options) -> None:
    from aperture_db.render.restore import render_report
    from aperture_db.restore.apply import apply
    from aperture_db.restore.report import Committed, Committing, Restored, SafetyBackupMade

    run.interrupted_note = "nothing was restored, the database is as it was"
    events = apply(run.target, conn, planned, options)
    with run.reporter() as reporter, closing(events):
        for event in reporter.report(events):
            match event:
                case SafetyBackupMade(backup):
                    reporter.line(f"What is replaced is in {backup.path}")
                case Committing():
                    run.interrupted_note = (
                        "the restore was about to be committed: aperture-db stats tells which "
                        "migration the database is at"
                    )
                case Committed():
                    run.interrupted_note = "the dump was restored; only statistics are missing"
                case Restored(result):
                    report = result
    run.show(report, render_report)
