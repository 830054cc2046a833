"""`aperture-db purge`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from aperture_db.cli.command import command
from aperture_db.cli.durations import parse_duration
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.options import ConfirmOption, require_confirmation
from aperture_db.cli.run import Run
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.format import list_some, plural, shell_command
from aperture_db.progress import Committed, Committing
from aperture_db.purge import PurgeOptions, PurgeTarget

with lazy_imports():
    from aperture_db.backup import create, settings
    from aperture_db.backup import directory as backup_directory
    from aperture_db.dumps import Purpose, programs
    from aperture_db.postgres import connection
    from aperture_db.purge import execute, plan, report
    from aperture_db.render import purge as view

app = typer.Typer(add_completion=False)


TargetOption: TypeAlias = Annotated[
    PurgeTarget,
    typer.Option("--what", metavar="WHAT", help=f"Data to delete: {', '.join(PurgeTarget)}."),
]
DryRunOption: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Show the plan and stop. Writes nothing.")
]
ExpectRowsOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Roll back unless exactly N rows are deleted, as counted by --dry-run.",
    ),
]
BackupOption: TypeAlias = Annotated[
    bool, typer.Option("--backup/--no-backup", help="Back up the database first.")
]
DirectoryOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        help="Directory for the backup (default: Aperture's setting, else /backups).",
    ),
]
ExportRatingsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Export the ratings to delete as CSV, with the titles' IMDb and TMDB ids.",
    ),
]
IncludeLockedOption: TypeAlias = Annotated[
    bool, typer.Option("--include-locked", help="Also reset taste profiles that users locked.")
]
KeepRunsOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--keep-runs", help="With watch-history: keep the recommendation runs made from it."
    ),
]
KeepOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--keep/--no-keep", help="Keep user data for relink: ratings, lists and titles' ids."
    ),
]
IncludeKeptOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--include-kept", help="With everything: also drop what earlier purges kept for relink."
    ),
]
LOCK_TIMEOUT = 10.0
LockTimeoutOption: TypeAlias = Annotated[
    float,
    typer.Option(parser=parse_duration, metavar="TIME", help="Wait this long for locked tables."),
]


@command(
    app,
    "purge",
    examples=(
        "aperture-db purge --what movies --dry-run",
        "aperture-db purge --what ratings --export-ratings ratings.csv",
        'aperture-db purge --what content --expect-rows 4711 --confirm "yes I am sure"',
    ),
)
def purge(
    run: Run,
    what: TargetOption,
    dry_run: DryRunOption = False,
    confirm: ConfirmOption = None,
    expect_rows: ExpectRowsOption = None,
    backup: BackupOption = True,
    directory: DirectoryOption = None,
    export_ratings: ExportRatingsOption = None,
    include_locked: IncludeLockedOption = False,
    keep_runs: KeepRunsOption = False,
    keep: KeepOption = True,
    include_kept: IncludeKeptOption = False,
    lock_timeout: LockTimeoutOption = f"{LOCK_TIMEOUT:g}s",  # type: ignore[assignment]
) -> None:
    """Delete a part of Aperture's data, or all of it.

    The plan shows every row that will be deleted or updated, and what cannot be recovered. The
    purge runs in one transaction: if anything fails, the database is unchanged.
    """
    options = PurgeOptions(include_locked, keep_runs, keep, include_kept)
    _require_fitting(what, options)
    shown = _plan(run, what, options, lock_timeout, is_dry_run=dry_run)
    is_asked = confirm is None and not (run.options.json or dry_run)
    shows_plan = is_asked or not (run.options.quiet or run.options.json)
    for warning in () if shows_plan else shown.plan.warnings:
        run.warn(warning.text)
    planned = shown.plan
    if dry_run or not (planned.rows or planned.updated_rows or planned.dropped_kept_rows):
        again = _command(run, shown.plan, directory, export_ratings, lock_timeout, backs_up=backup)
        run.show(replace(shown, command=again), view.render_purge)
        execute.require_expected(shown.plan.rows, expect_rows)
        return
    if shows_plan:
        run.err.print_result(view.render_plan(shown.plan))
    execute.require_expected(shown.plan.rows, expect_rows)
    save_to = _backup_directory(run, directory) if backup else None
    if export_ratings is not None:
        execute.require_new_file(export_ratings)
    require_confirmation(run, confirm, *_question(run, shown, save_to))
    if export_ratings is not None:
        shown = _export(run, shown, export_ratings)
    if save_to is not None:
        saved = str(_back_up(run, save_to, lock_timeout))
        undo = shell_command("aperture-db", "restore", saved, *run.target.options)
        run.data = shown = replace(shown, backup=saved, undo_command=undo)
    outcome = _execute(run, shown, execute.PurgeLimits(lock_timeout, expect_rows))
    run.show(replace(shown, outcome=outcome), view.render_purge)


def _require_fitting(what: PurgeTarget, options: PurgeOptions) -> None:
    if options.keep_runs and what is not PurgeTarget.WATCH_HISTORY:
        raise UsageError(
            f"--keep-runs cannot be combined with --what {what}",
            why="recommendation runs refer to the data to delete",
            next_step="omit it, or use --what watch-history",
        )
    if options.include_kept and what is not PurgeTarget.EVERYTHING:
        raise UsageError(
            f"--include-kept cannot be combined with --what {what}",
            why="only a purge of everything drops what earlier purges kept",
            next_step="omit it, or drop it with: aperture-db relink --forget",
        )


def _plan(
    run: Run, target: PurgeTarget, options: PurgeOptions, lock_timeout: float, *, is_dry_run: bool
) -> report.PurgeReport:
    """Make the plan, and keep it for the JSON object."""
    with run.connect(read_only=True) as conn:
        made = plan.make_plan(conn, target, options, lock_timeout)
        try:
            plan.require_doable(conn, made)
        except ApertureDbError as error:
            if not is_dry_run:
                raise
            # The plan lists what a role lacks.
            if error.code != "no_privilege":
                run.warn_of(error)
    shown = report.PurgeReport(made, is_dry_run)
    run.data = shown
    return shown


def _command(
    run: Run,
    shown: report.PurgePlan,
    directory: Path | None,
    ratings: Path | None,
    lock_timeout: float,
    *,
    backs_up: bool,
) -> str:
    """The command that carries out exactly the plan of a dry run."""
    words = ["purge", "--what", str(shown.what), "--expect-rows", str(shown.rows)]
    words += ["--include-locked"] if shown.options.include_locked else []
    words += ["--keep-runs"] if shown.options.keep_runs else []
    words += [] if shown.options.keep else ["--no-keep"]
    words += ["--include-kept"] if shown.options.include_kept else []
    words += ["--export-ratings", str(ratings)] if ratings else []
    words += [] if backs_up else ["--no-backup"]
    words += ["--dir", str(directory)] if directory else []
    words += ["--lock-timeout", f"{lock_timeout:g}s"] if lock_timeout != LOCK_TIMEOUT else []
    return shell_command("aperture-db", *words, *run.target.options)


def _question(run: Run, shown: report.PurgeReport, save_to: Path | None) -> Iterator[str]:
    question = f"This will delete {plural(shown.plan.rows, 'row')} from {run.target}"
    if shown.plan.updated_rows:
        question += f" and update {shown.plan.updated_rows:,}"
    question += "."
    if losses := [f"{loss.rows:,} {loss.what}" for loss in shown.plan.losses]:
        yield f"Cannot be recovered: {list_some(losses)}."
    yield question
    if save_to is not None:
        yield f"The database will be backed up to {save_to} first."
    else:
        yield "No backup will be made: this cannot be undone."


def _export(run: Run, shown: report.PurgeReport, path: Path) -> report.PurgeReport:
    with run.connect(read_only=True) as conn:
        execute.export_ratings(conn, shown.plan.what, shown.plan.options, path)
    shown = replace(shown, ratings_file=str(path.absolute()))
    run.data = shown
    run.say(f"Ratings exported to {shown.ratings_file}", "muted")
    return shown


def _backup_directory(run: Run, option: Path | None) -> Path:
    """The directory for the backup. Raises ApertureDbError where no backup could be made."""
    try:
        with run.connect(read_only=True) as conn:
            connection.require_session(conn, run.target, "a backup")
            programs.programs_for_server(conn.info.server_version)
            chosen = backup_directory.choose_directory(option, settings.read_settings(conn))
        backup_directory.require_writable(chosen)
    except ApertureDbError as error:
        error.next_steps = (*error.next_steps, "or purge without a backup: --no-backup")
        raise
    return chosen.path


def _back_up(run: Run, directory: Path, lock_timeout: float) -> Path:
    with run.connect() as conn:
        events = create.create(
            run.target,
            conn,
            directory,
            purpose=Purpose.BEFORE_PURGE,
            lock_timeout_seconds=lock_timeout,
        )
        with run.reporter() as reporter:
            for made in reporter.report(events):
                path = made.backup.path
            reporter.line(f"Backed up to {path}")
    return path


def _execute(
    run: Run, shown: report.PurgeReport, limits: execute.PurgeLimits
) -> report.PurgeOutcome:
    run.interrupted_note = "the purge was rolled back, nothing was changed"
    work = plan.make_work(shown.plan)
    with (
        run.connect() as conn,
        run.reporter() as reporter,
        closing(execute.execute(conn, run.target, shown.plan, work, limits)) as events,
    ):
        for event in reporter.report(events):
            match event:
                case Committing():
                    reporter.step("committing")
                    run.interrupted_note = (
                        "the purge was being committed; check what is left with --dry-run"
                    )
                case Committed():
                    run.interrupted_note = (
                        "the purge is done; the space of some tables is not freed yet"
                    )
                case execute.Purged(outcome):
                    run.interrupted_note = "the purge is done"
                    return outcome
    raise AssertionError("a purge ends with its outcome")
