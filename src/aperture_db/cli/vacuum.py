"""`aperture-db vacuum`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from aperture_db.cli.command import command
from aperture_db.cli.options import ConfirmOption, parse_duration, require_confirmation
from aperture_db.cli.run import Run
from aperture_db.errors import UsageError
from aperture_db.format import format_bytes, plural

if TYPE_CHECKING:
    from aperture_db.postgres.connection import Connection
    from aperture_db.vacuum.report import Mode, VacuumPlan


app = typer.Typer(add_completion=False)


@command(app, "vacuum")
def vacuum(
    run: Run,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this table; may be given several times."),
    ] = None,
    analyze_only: Annotated[
        bool,
        typer.Option("--analyze-only", help="Renew the planner's statistics, nothing else."),
    ] = False,
    reindex_hnsw: Annotated[
        bool,
        typer.Option(
            "--reindex-hnsw",
            help="Rebuild HNSW indexes first, where rows are dead or --table names the "
            "table. Much faster when many rows are dead.",
        ),
    ] = False,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Rewrite the tables to give space back. Aperture can't use a table meanwhile.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")
    ] = False,
    confirm: ConfirmOption = None,
    lock_timeout: Annotated[
        float,
        typer.Option(
            parser=parse_duration,
            metavar="TIME",
            help="Skip a table, and say who holds it, after waiting this long for its lock.",
        ),
    ] = "10s",  # type: ignore[assignment]
) -> None:
    """Remove dead rows, and renew the statistics.

    Aperture can go on working meanwhile, except with --full.
    """
    from aperture_db.render.vacuum import render_plan
    from aperture_db.vacuum import plan

    mode = _choose_mode(analyze_only=analyze_only, reindex_hnsw=reindex_hnsw, full=full)
    with run.connect(read_only=dry_run) as conn:
        planned = plan(conn, mode, table or [])
        for caution in planned.cautions:
            run.warn(caution)
        if dry_run:
            run.show(planned, render_plan)
            return
        if full:
            require_confirmation(run, confirm, _full_question(planned))
        _vacuum(run, conn, planned, lock_timeout)


def _choose_mode(*, analyze_only: bool, reindex_hnsw: bool, full: bool) -> Mode:
    from aperture_db.vacuum.report import Mode

    modes = {
        Mode.ANALYZE: analyze_only,
        Mode.REINDEX_HNSW: reindex_hnsw,
        Mode.FULL: full,
    }
    chosen = [mode for mode, is_chosen in modes.items() if is_chosen]
    if len(chosen) > 1:
        raise UsageError(
            "--analyze-only, --reindex-hnsw and --full can't be combined",
            why="--full builds all indexes anew anyway, and --analyze-only touches none",
            next_step="choose one of them",
        )
    return chosen[0] if chosen else Mode.VACUUM


def _full_question(planned: VacuumPlan) -> str:
    largest = max((table.before.total_bytes or 0 for table in planned.tables), default=0)
    return (
        f"VACUUM FULL rewrites {plural(len(planned.tables), 'table')}. Each is locked while that "
        "lasts, so Aperture can neither read nor write it; stop Aperture first. It needs up to "
        f"{format_bytes(largest)} of free disk space."
    )


def _vacuum(run: Run, conn: Connection, planned: VacuumPlan, lock_timeout: float) -> None:
    from aperture_db.cli.vacuum_log import VacuumLog, error_of, tell_old_snapshots
    from aperture_db.render.vacuum import render_offers, render_report
    from aperture_db.vacuum import vacuum_tables

    for line in () if run.options.quiet else render_offers(planned):
        run.err.print_result(line)
    log = VacuumLog(run, planned)
    events = vacuum_tables(conn, run.target, planned, lock_timeout)
    with run.reporter() as reporter, closing(events):
        for event in events:
            log.add(reporter, event)
    report = log.report
    run.show(report, render_report)
    tell_old_snapshots(run, report)
    if report.problems:
        raise error_of(report)
