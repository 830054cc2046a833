"""`aperture-db purge`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aperture_db.cli.command import command
from aperture_db.cli.options import ConfirmOption, parse_duration, require_confirmation
from aperture_db.cli.run import Run
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.purge.what import What

if TYPE_CHECKING:
    from aperture_db.purge.execute import Limits
    from aperture_db.purge.report import PurgeOutcome, PurgePlan, PurgeReport
    from aperture_db.purge.scopes import Options


app = typer.Typer(add_completion=False)


@command(app, "purge")
def purge(
    run: Run,
    what: Annotated[
        What,
        typer.Option("--what", metavar="WHAT", help=f"What goes: {', '.join(What)}."),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and stop. Writes nothing.")
    ] = False,
    confirm: ConfirmOption = None,
    expect_rows: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Roll back unless exactly N rows go, as --dry-run counts."
        ),
    ] = None,
    backup: Annotated[
        bool, typer.Option("--backup/--no-backup", help="Back the database up before.")
    ] = True,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Where the backup goes; else what Aperture is set to, else /backups.",
        ),
    ] = None,
    export_ratings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Save the ratings that go as CSV, with the titles' ids at IMDb and TMDB.",
        ),
    ] = None,
    include_locked: Annotated[
        bool,
        typer.Option("--include-locked", help="Reset taste profiles that users have locked, too."),
    ] = False,
    keep_runs: Annotated[
        bool,
        typer.Option(
            "--keep-runs",
            help="With watch-history: leave the recommendation runs made from it.",
        ),
    ] = False,
    lock_timeout: Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", help="Wait this long for locked tables."
        ),
    ] = "10s",  # type: ignore[assignment]
) -> None:
    """Delete a part of the library, or everything.

    The plan shows every row that goes or changes, and what can't come back. All of it happens
    in one transaction: a failure at any point leaves the database as it was.
    """
    from aperture_db.purge.execute import Limits, require_expected
    from aperture_db.purge.export import require_new_file
    from aperture_db.purge.scopes import Options
    from aperture_db.render.purge import render_plan, render_purge

    if keep_runs and what is not What.WATCH_HISTORY:
        raise UsageError(
            f"--keep-runs does not go with {what}",
            why="recommendations name what goes",
            next_step="leave it out, or use --what watch-history",
        )
    options = Options(include_locked, keep_runs)
    report = _plan(run, what, options, lock_timeout, is_dry_run=dry_run)
    plan = report.plan
    is_asked = confirm is None and not (run.options.json or dry_run)
    shows_plan = is_asked or not (run.options.quiet or run.options.json)
    for hazard in () if shows_plan else plan.warnings:
        run.warn(hazard.text)
    if dry_run or not (plan.rows or plan.updated_rows):
        command = _command(run, plan, directory, export_ratings, backs_up=backup)
        run.show(replace(report, command=command), render_purge)
        require_expected(plan.rows, expect_rows)
        return
    if shows_plan:
        run.err.print_result(render_plan(plan))
    require_expected(plan.rows, expect_rows)
    save_to = _backup_directory(run, directory) if backup else None
    if export_ratings is not None:
        require_new_file(export_ratings)
    require_confirmation(run, confirm, _question(run, report, save_to))
    if export_ratings is not None:
        report = _export(run, report, export_ratings)
    if save_to is not None:
        saved = str(_back_up(run, save_to, lock_timeout))
        undo = run.target.command_line("restore", saved)
        report = replace(report, backup=saved, undo_command=undo)
        run.data = report
    outcome = _execute(run, report, Limits(lock_timeout, expect_rows))
    run.show(replace(report, outcome=outcome), render_purge)


def _plan(
    run: Run, what: What, options: Options, lock_timeout: float, *, is_dry_run: bool
) -> PurgeReport:
    """Make the plan, and keep it for the JSON object."""
    from aperture_db.purge.prepare import make_plan, require_doable
    from aperture_db.purge.report import PurgeReport

    with run.connect(read_only=True) as conn:
        plan = make_plan(conn, what, options, lock_timeout)
        if not is_dry_run:
            require_doable(conn, plan)
    report = PurgeReport(plan, is_dry_run)
    run.data = report
    return report


def _command(
    run: Run, plan: PurgePlan, directory: Path | None, ratings: Path | None, *, backs_up: bool
) -> str:
    """The command that does exactly what a dry run has shown."""
    words = ["purge", "--what", str(plan.what), "--expect-rows", str(plan.rows)]
    words += ["--include-locked"] if plan.options.include_locked else []
    words += ["--keep-runs"] if plan.options.keep_runs else []
    words += ["--export-ratings", str(ratings)] if ratings else []
    words += [] if backs_up else ["--no-backup"]
    words += ["--dir", str(directory)] if directory else []
    return run.target.command_line(*words)


def _question(run: Run, report: PurgeReport, save_to: Path | None) -> str:
    from aperture_db.format import plural

    question = f"This deletes {plural(report.plan.rows, 'row')} from {run.target}"
    if report.plan.updated_rows:
        question += f" and changes {report.plan.updated_rows:,}"
    question += "."
    if save_to is not None:
        return f"{question}\nA backup goes to {save_to} before."
    return f"{question}\nNo backup is made: it can't be undone."


def _export(run: Run, report: PurgeReport, path: Path) -> PurgeReport:
    from aperture_db.purge.export import export_ratings

    with run.connect(read_only=True) as conn:
        export_ratings(conn, report.plan.what, report.plan.options, path)
    report = replace(report, ratings_file=str(path.absolute()))
    run.data = report
    run.say(f"The ratings are in {report.ratings_file}", "muted")
    return report


def _backup_directory(run: Run, option: Path | None) -> Path:
    """Where the backup goes. Raises ApertureDbError for what would keep it from being made."""
    from aperture_db.backup.directory import choose_directory, require_writable
    from aperture_db.backup.settings import read_settings
    from aperture_db.dumps.programs import programs_for_server
    from aperture_db.postgres.connection import require_session

    try:
        with run.connect(read_only=True) as conn:
            require_session(conn, run.target, "a backup")
            programs_for_server(conn.info.server_version)
            directory = choose_directory(option, read_settings(conn))
        require_writable(directory)
    except ApertureDbError as error:
        error.next_step += "; or purge without a backup: --no-backup"
        raise
    return directory.path


def _back_up(run: Run, directory: Path, lock_timeout: float) -> Path:
    from aperture_db.backup.create import create
    from aperture_db.dumps.files import Purpose

    with run.connect() as conn:
        events = create(
            run.target,
            conn,
            directory,
            purpose=Purpose.BEFORE_PURGE,
            lock_timeout_seconds=lock_timeout,
        )
        with run.reporter() as reporter:
            for made in reporter.report(events):
                path = made.backup.path
            reporter.line(f"The backup is {path}")
    return path


def _execute(run: Run, report: PurgeReport, limits: Limits) -> PurgeOutcome:
    from aperture_db.purge import events
    from aperture_db.purge.execute import execute
    from aperture_db.purge.prepare import make_work

    plan = report.plan
    run.interrupted_note = "the purge was rolled back, nothing was changed"
    with run.connect() as conn:
        going_on = execute(conn, run.target, plan, make_work(plan), limits)
        with run.reporter() as reporter, closing(going_on):
            for event in going_on:
                match event:
                    case events.Phase(text):
                        reporter.step(text)
                        reporter.log(f"{text[0].upper()}{text[1:]}", "muted")
                    case events.Doing(text, done, total):
                        reporter.step(text, done, total)
                    case events.Committing():
                        reporter.step("committing")
                        run.interrupted_note = (
                            "the purge was being committed; see what is left with --dry-run"
                        )
                    case events.Committed():
                        run.interrupted_note = (
                            "the purge is done; the space of some tables is not given back yet"
                        )
                    case events.Purged(outcome):
                        return outcome
    raise AssertionError("a purge ends with its outcome")
