"""`aperture-db migrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aperture_db.cli.command import command
from aperture_db.cli.options import parse_duration
from aperture_db.cli.run import Run
from aperture_db.errors import FindingError, UsageError

if TYPE_CHECKING:
    from aperture_db.migrations.directory import MigrationDirectory
    from aperture_db.migrations.plan import MigrationPlan
    from aperture_db.migrations.status import MigrationStatus
    from aperture_db.postgres.connection import Connection

MODES = "Instead of applying"


app = typer.Typer(add_completion=False)


@command(app, "migrate")
def migrate(
    run: Run,
    status: Annotated[
        bool,
        typer.Option("--status", rich_help_panel=MODES, help="List applied and pending ones."),
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", rich_help_panel=MODES, help="Exit 5 if something is pending."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", rich_help_panel=MODES, help="List what would be applied."),
    ] = False,
    rehearse: Annotated[
        bool,
        typer.Option(
            "--rehearse",
            rich_help_panel=MODES,
            help="Apply everything in one transaction and roll it back. Takes real locks.",
        ),
    ] = False,
    mark_applied: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=MODES,
            help="Record all files up to NAME as applied without running them.",
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="NAME", help="Stop after this file (name or number).")
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Directory of .sql files; else APERTURE_MIGRATIONS_DIR, else the bundled.",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Refuse unknown records and pending files older than applied ones."
        ),
    ] = False,
    lock_wait: Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", help="Wait this long for locks, per file."
        ),
    ] = "30m",  # type: ignore[assignment]
    lock_timeout: Annotated[
        float,
        typer.Option(
            parser=parse_duration,
            metavar="TIME",
            help="Let one attempt wait this long for a lock; then back off and repeat.",
        ),
    ] = "5s",  # type: ignore[assignment]
) -> None:
    """Apply the migrations that are pending.

    Each file is one transaction with its record in aperture_migrations, so a failure keeps
    nothing of its file. Several runs at once, Aperture's own start among them, are safe.
    """
    from aperture_db.migrations.directory import read_directory

    modes = {
        "--status": status,
        "--check": check,
        "--dry-run": dry_run,
        "--rehearse": rehearse,
        "--mark-applied": mark_applied is not None,
    }
    _refuse_combinations([name for name, chosen in modes.items() if chosen])
    files = read_directory(directory)
    last_name = files.resolve_name(to) if to is not None else None
    if status or check:
        _show_status(run, files, strict=strict, check=check)
    elif mark_applied is not None:
        _mark_applied(run, files, mark_applied, lock_wait)
    else:
        with run.connect() as conn:
            planned = _plan(run, conn, files, last_name, strict=strict)
            if dry_run:
                _show_dry_run(run, planned)
            else:
                limits = (lock_wait, lock_timeout)
                _apply(run, conn, planned, limits, is_rehearsal=rehearse)


def _refuse_combinations(modes: list[str]) -> None:
    if len(modes) > 1:
        raise UsageError(
            f"{' and '.join(modes)} can't be combined",
            why="each of them says what to do instead of applying",
            next_step="choose one of them",
        )


def _show_status(run: Run, files: MigrationDirectory, *, strict: bool, check: bool) -> None:
    from aperture_db.migrations.status import collect, refuse_deviations
    from aperture_db.render.migrate import render_status

    with run.connect(read_only=True) as conn, conn.transaction():
        status = collect(conn, files)
    run.data = status
    if strict:
        refuse_deviations(status)
    if not check:
        run.show(status, render_status)
    _warn_of_deviations(run, status)
    if check and status.pending:
        raise FindingError(
            f"{len(status.pending)} of {len(status.migrations)} migrations are pending",
            why=f"the first one is {status.pending[0]}",
            next_step="aperture-db migrate",
            code="migrations_pending",
        )
    if check:
        run.say("Database is up to date.")


def _warn_of_deviations(run: Run, status: MigrationStatus) -> None:
    from aperture_db.migrations.status import describe_deviations

    for sentence in describe_deviations(status):
        run.warn(sentence)


def _plan(
    run: Run, conn: Connection, files: MigrationDirectory, last_name: str | None, *, strict: bool
) -> MigrationPlan:
    from aperture_db.migrations.plan import plan

    planned = plan(conn, run.target, files, last_name=last_name, strict=strict)
    _warn_of_deviations(run, planned.status)
    return planned


def _show_dry_run(run: Run, planned: MigrationPlan) -> None:
    from aperture_db.migrations.report import DryRun
    from aperture_db.render.migrate import render_dry_run

    run.show(DryRun(planned.names), render_dry_run)


def _mark_applied(run: Run, files: MigrationDirectory, name: str, lock_wait_seconds: float) -> None:
    from aperture_db.migrations.records import mark_applied
    from aperture_db.migrations.report import MarkedMigrations
    from aperture_db.render.migrate import render_marked

    last_name = files.resolve_name(name)
    with run.connect() as conn:
        names = [each for each in files.names if each <= last_name]
        marked = mark_applied(conn, names, lock_wait_seconds)
    run.show(MarkedMigrations(marked), render_marked)


def _apply(
    run: Run,
    conn: Connection,
    planned: MigrationPlan,
    lock_seconds: tuple[float, float],
    *,
    is_rehearsal: bool,
) -> None:
    """Apply or rehearse what is planned. `lock_seconds` are --lock-wait and --lock-timeout."""
    from aperture_db.cli.migrate_log import MigrateLog
    from aperture_db.migrations.apply import apply_files
    from aperture_db.migrations.locking import Limits
    from aperture_db.migrations.rehearse import rehearse_files
    from aperture_db.render.migrate import render_report

    limits = Limits(*lock_seconds, planned.connection_check_interval)
    log = MigrateLog(run, planned, is_rehearsal=is_rehearsal)
    act = rehearse_files if is_rehearsal else apply_files
    if is_rehearsal:
        _warn_of_rehearsal(run, planned)
    try:
        with run.reporter() as reporter:
            conn.add_notice_handler(
                lambda notice: log.report_notice(reporter, notice.severity, notice.message_primary)
            )
            for event in act(conn, run.target, planned.files, limits):
                log.add(reporter, event)
    finally:
        # A failure half way still has to tell what was applied before it.
        run.data = log.report
    run.show(log.report, render_report)


def _warn_of_rehearsal(run: Run, planned: MigrationPlan) -> None:
    if planned.files:
        run.warn("a rehearsal takes real locks: Aperture may have to wait until it is over")
    if left_out := [file.name for file in planned.files if not file.in_transaction]:
        run.warn(f"not rehearsed, as it runs outside a transaction: {', '.join(left_out)}")
