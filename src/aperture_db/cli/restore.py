"""`aperture-db restore`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from aperture_db.cli.backup import read_restorable_dump
from aperture_db.cli.command import command
from aperture_db.cli.durations import parse_duration
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.options import ConfirmOption, require_confirmation
from aperture_db.cli.run import Run
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.format import plural, shell_command
from aperture_db.postgres.target import Target
from aperture_db.restore import OtherTables

with lazy_imports():
    from aperture_db import progress
    from aperture_db.backup import directory as backups
    from aperture_db.backup import settings
    from aperture_db.health import check as health_check
    from aperture_db.health import checks
    from aperture_db.health import run as health_run
    from aperture_db.postgres import connection
    from aperture_db.postgres import settings as conninfo
    from aperture_db.render import restore as view
    from aperture_db.restore import apply, plan, server
    from aperture_db.restore import drill as drills
    from aperture_db.restore import report as results

DRILL_PANEL = "Instead of a restore"
MAX_DIFFERENCES = 20

FileArgument: TypeAlias = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="A dump: .dump, .sql or .sql.gz.", show_default=False),
]
DrillOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--drill",
        rich_help_panel=DRILL_PANEL,
        help="Restore FILE, else the newest backup, into a scratch database, compare it and "
        "drop it. The database is not changed.",
    ),
]
IntoOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--into",
        metavar="URL",
        rich_help_panel=DRILL_PANEL,
        help="Create the scratch database on this server (default: the same server).",
    ),
]
DirectoryOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        help="Directory for the safety backup (default: the backup directory, else next to FILE).",
    ),
]
UnsavedOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--no-safety-backup",
        help="Make no safety backup. The restore cannot be undone then.",
    ),
]

app = typer.Typer(add_completion=False)


@command(
    app,
    "restore",
    is_scheduled_work=lambda options: options["drill"],
    examples=[
        "aperture-db restore aperture_backup_2026-01-31_03-30-00.dump --dry-run",
        "aperture-db restore aperture_backup_2026-01-31_03-30-00.dump",
        "aperture-db restore --drill    # from cron: prove the newest backup",
    ],
)
def restore(
    run: Run,
    file: FileArgument = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Verify the dump and show the plan only."),
    ] = False,
    confirm: ConfirmOption = None,
    terminate: Annotated[
        bool,
        typer.Option("--terminate-sessions", help="Terminate other sessions of the database."),
    ] = False,
    directory: DirectoryOption = None,
    unsaved: UnsavedOption = False,
    others: Annotated[
        OtherTables | None,
        typer.Option(help="Keep or drop tables that a newer Aperture may have created."),
    ] = None,
    drill: DrillOption = False,
    into: IntoOption = None,
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
    if drill:
        _refuse_with_drill(
            dry_run=dry_run, confirm=confirm, terminate_sessions=terminate,
            no_safety_backup=unsaved, others=others,
        )  # fmt: skip
        _drill(run, file, directory, into, lock_timeout)
        return
    file = _require_file(file, into)
    configured = _read_settings(run)
    path = backups.locate(file, backups.choose_directory(directory, configured))
    dump = read_restorable_dump(run, path)
    with run.connect() as conn:
        connection.require_session(conn, run.target, "a restore")
        planned = plan.plan(conn, dump, others=others, lock_timeout_seconds=lock_timeout)
        run.data = planned
        for warning in planned.warnings:
            run.warn(warning)
        if dry_run:
            words: list[object] = [path]
            words += ["--others", others] if others else []
            words += ["--dir", directory] if directory else []
            words += ["--terminate-sessions"] if terminate else []
            words += ["--no-safety-backup"] if unsaved else []
            command = shell_command("aperture-db", "restore", *words, *run.target.options)
            run.show(planned, partial(view.render_dry_run, command=command))
            return
        if not run.options.quiet:
            run.err.print_result(view.render_plan(planned))
        save_to = None if unsaved else _safety_directory(planned, directory, configured)
        _require_consent(run, planned, confirm, save_to, terminate=terminate)
        _apply(run, conn, planned, results.RestoreOptions(lock_timeout, save_to, terminate))


def _require_file(file: Path | None, into: str | None) -> Path:
    if into is not None:
        raise UsageError(
            "--into is for --drill",
            why="a restore replaces the database of --database-url or DATABASE_URL",
            next_step="add --drill, or name the database with --database-url",
        )
    if file is None:
        raise UsageError(
            "FILE is missing",
            why="only --drill chooses the newest backup itself",
            next_step="aperture-db backup --list",
        )
    return file


def _refuse_with_drill(**others: object) -> None:
    for name, value in others.items():
        if value not in (None, False):
            raise UsageError(
                f"--drill can't be combined with --{name.replace('_', '-')}",
                why="a drill does not change the database",
                next_step="leave one of them out",
            )


def _drill(
    run: Run, file: Path | None, option: Path | None, into: str | None, lock_timeout: float
) -> None:
    run.interrupted_note = "the database is unchanged; the scratch database of the drill is dropped"
    chosen = backups.choose_directory(option, _read_settings(run))
    if file is None:
        path = backups.newest_backup(chosen)
        is_newest = True
    else:
        path = backups.locate(file, chosen)
        is_newest = backups.is_newest_backup(path)
    dump = read_restorable_dump(run, path)
    server = conninfo.resolve_target(into, None, {}) if into else run.target
    drill = drills.Drill(dump, run.target, server, is_newest, lock_timeout)
    events = drills.run_drill(drill, apply.restore_into_empty, partial(_final_findings, run))
    with run.reporter() as reporter, closing(events):
        for event in reporter.report(events):
            if isinstance(event, drills.DrillFinished):
                report = event.report
    run.show(report, view.render_drill)
    for difference in report.differences[:MAX_DIFFERENCES]:
        run.warn(f"the restored structure differs from the database's: {difference}")


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
        raise server.describe_refusal(planned.sessions)
    tables = plural(len(planned.replaced_tables), "table")
    rows = plural(planned.replaced_row_count, "row")
    sentences = [f"This replaces {tables} with {rows} in {run.target}."]
    if planned.sessions:
        sentences.append(f"It terminates {plural(len(planned.sessions), 'session')} first.")
    sentences.append(
        f"A safety backup is made in {save_to}."
        if save_to
        else "No safety backup is made: this cannot be undone."
    )
    require_confirmation(run, given, *sentences)


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
    findings = _final_findings(run, run.target, report)
    run.show(replace(report, findings=findings), view.render_report)


# The checks of `health` that tell whether Aperture can work with what was restored.
FINAL_CHECKS = frozenset({"extensions", "migrations", "default-rows", "constraints"})


def _final_findings(run: Run, target: Target, report: results.RestoreReport) -> tuple[str, ...]:
    """Findings about the restored database, with the step that fixes each, through a connection
    as Aperture will open it. The report names the migrations itself where it is behind."""
    only = FINAL_CHECKS - ({"migrations"} if report.is_behind else set())
    checked = health_run.run_checks(
        partial(run.connect, read_only=True, target=target),
        target,
        checks.CHECKS,
        health_check.CheckSelection(only=only),
    )
    if checked.error is not None:
        return (f"not checked: {checked.error.what}",)
    return tuple(
        ": ".join((finding.reason, *finding.advice[:1]))
        for result in checked.checks
        for finding in result.grave_findings
    )
