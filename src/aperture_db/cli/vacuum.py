"""`aperture-db vacuum`."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Annotated, TypeAlias

import typer

from aperture_db.cli.command import command
from aperture_db.cli.durations import parse_duration
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.options import ConfirmOption, complete_from, require_confirmation
from aperture_db.cli.run import Run
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.format import format_bytes, list_some, plural

with lazy_imports():
    from aperture_db import aperture
    from aperture_db import vacuum as room
    from aperture_db.postgres import connection
    from aperture_db.render import progress
    from aperture_db.render import vacuum as view

MAX_STEPS = 4

app = typer.Typer(add_completion=False)

TableOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Vacuum only this table; may be repeated.",
        autocompletion=complete_from(lambda: aperture.TABLES),
    ),
]


@command(
    app,
    "vacuum",
    is_scheduled_work=lambda options: not options["dry_run"],
    examples=[
        "aperture-db vacuum",
        "aperture-db vacuum --dry-run",
        "aperture-db vacuum --jobs 2 --reindex-hnsw",
    ],
)
def vacuum(
    run: Run,
    table: TableOption = None,
    analyze_only: Annotated[
        bool,
        typer.Option("--analyze-only", help="Update the planner's statistics only."),
    ] = False,
    reindex_hnsw: Annotated[
        bool,
        typer.Option(
            "--reindex-hnsw",
            help="Rebuild HNSW indexes first, where rows are dead or --table names the table. "
            "Much faster when many rows are dead.",
        ),
    ] = False,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Rewrite the tables to return space to the disk. Locks each table meanwhile.",
        ),
    ] = False,
    every: Annotated[
        bool,
        typer.Option("--all", help="Include unchanged tables."),
    ] = False,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            metavar="N",
            help="Vacuum N tables at a time, each on its own connection.",
        ),
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and change nothing.")
    ] = False,
    confirm: ConfirmOption = None,
    lock_timeout: Annotated[
        float,
        typer.Option(
            parser=parse_duration,
            metavar="TIME",
            help="Skip a table after waiting this long for its lock, and name the holder.",
        ),
    ] = "10s",  # type: ignore[assignment]
) -> None:
    """Remove dead rows and update the planner's statistics.

    Tables in which nothing changed since the last run are skipped, unless --all or --table names
    them. Aperture can keep working meanwhile, except with --full.
    """
    mode = _choose_mode(analyze_only=analyze_only, reindex_hnsw=reindex_hnsw, full=full)
    with run.connect(read_only=dry_run) as conn:
        planned = room.plan(conn, mode, table or [], include_all=every, jobs=jobs)
        for caution in planned.cautions:
            run.warn(caution)
        if dry_run:
            run.show(planned, view.render_plan)
            return
        if full:
            require_confirmation(run, confirm, _full_question(planned))
        _vacuum(run, conn, planned, lock_timeout, jobs)


def _choose_mode(*, analyze_only: bool, reindex_hnsw: bool, full: bool) -> room.VacuumMode:
    modes = {
        room.VacuumMode.ANALYZE: analyze_only,
        room.VacuumMode.REINDEX_HNSW: reindex_hnsw,
        room.VacuumMode.FULL: full,
    }
    chosen = [mode for mode, is_chosen in modes.items() if is_chosen]
    if len(chosen) > 1:
        raise UsageError(
            "--analyze-only, --reindex-hnsw and --full can't be combined",
            why="--full rebuilds all indexes anyway, and --analyze-only rebuilds none",
            next_step="choose one of them",
        )
    return chosen[0] if chosen else room.VacuumMode.VACUUM


def _full_question(planned: room.VacuumPlan) -> str:
    largest = max((table.before.total_bytes or 0 for table in planned.tables), default=0)
    return (
        f"VACUUM FULL rewrites {plural(len(planned.tables), 'table')}. Each table is locked during "
        "its rewrite: Aperture can neither read nor write it. Stop Aperture first. It needs up to "
        f"{format_bytes(largest)} of free disk space."
    )


def _vacuum(
    run: Run,
    conn: connection.Connection,
    planned: room.VacuumPlan,
    lock_timeout: float,
    jobs: int,
) -> None:
    for line in () if run.options.quiet else view.render_offers(planned):
        run.err.print_result(line)
    events = room.vacuum_tables(conn, run.target, planned, lock_timeout, jobs)
    with run.reporter() as reporter, closing(events):
        log = VacuumLog(run, reporter, planned)
        for event in reporter.report(events):
            match event:
                case room.TableStarted(name, fraction):
                    log.start(name, fraction)
                case room.TableFinished(result, holders):
                    log.finish(result, holders)
    report = log.report
    run.show(report, view.render_report)
    for holder in report.snapshot_holders:
        run.warn(
            f"{plural(report.unremovable_rows, 'dead row')} can't be removed yet: {holder} still "
            f"sees them; to end it: {holder.advice}"
        )
    if report.problems:
        raise _error_of(report)


class VacuumLog:
    """The results so far. Keeps the run's note on interruption and its data current."""

    def __init__(
        self, run: Run, reporter: progress.ProgressReporter, plan: room.VacuumPlan
    ) -> None:
        self._run = run
        self._reporter = reporter
        self._plan = plan
        self._running: list[str] = []
        self._results: list[room.TableResult] = []
        self._holders: dict[str, room.SnapshotHolder] = {}
        self._unremovable_rows = 0
        self._started = time.monotonic()

    def start(self, name: str, fraction: float) -> None:
        """Note and report the table that is being vacuumed."""
        self._reporter.step(name, fraction, 1.0)
        self._running.append(name)
        self._note()

    def finish(self, result: room.TableResult, holders: tuple[room.SnapshotHolder, ...]) -> None:
        """Note and report the result of a table."""
        self._running.remove(result.name)
        self._results.append(result)
        for holder in holders:
            self._holders.setdefault(f"{holder.kind} {holder.pid or holder.name}", holder)
        if holders:
            self._unremovable_rows += result.after.dead_rows or 0
        self._run.data = self.report
        self._note()
        if result.is_problem:
            self._reporter.line(view.describe_result(result), "warning")
        elif self._run.options.verbose:
            self._reporter.line(view.describe_result(result))
        elif result.before.dead_rows:
            self._reporter.log(view.describe_result(result))

    def _note(self) -> None:
        done = [r.name for r in self._results if r.outcome is room.VacuumOutcome.DONE]
        note = f"{len(done)} of {plural(len(self._plan.tables), 'table')} done"
        if self._running:
            verb = "has" if len(self._running) == 1 else "have"
            note += f"; stopped at {list_some(self._running)}, which {verb} to be done again"
        if waiting := [name for name in self._remaining if name not in self._running]:
            note += f"; not begun: {list_some(waiting)}"
        self._run.interrupted_note = note

    @property
    def _remaining(self) -> tuple[str, ...]:
        finished = {result.name for result in self._results}
        return tuple(table.name for table in self._plan.tables if table.name not in finished)

    @property
    def report(self) -> room.VacuumReport:
        """The report of the work so far."""
        return room.VacuumReport(
            mode=self._plan.mode,
            results=tuple(self._results),
            remaining=self._remaining,
            unremovable_rows=self._unremovable_rows,
            snapshot_holders=tuple(self._holders.values()),
            duration_seconds=time.monotonic() - self._started,
            up_to_date_tables=self._plan.up_to_date_tables,
        )


def _error_of(report: room.VacuumReport) -> ApertureDbError:
    """Build the error that names every table that failed. There must be at least one."""
    first, *others = report.problems
    names = list_some(result.name for result in report.problems)
    steps = list(dict.fromkeys(result.advice for result in report.problems))
    if len(steps) > MAX_STEPS:
        steps[MAX_STEPS:] = [f"and {len(steps) - MAX_STEPS} more of the kind"]
    count = f"{len(report.problems):,} of {plural(len(report.results), 'table')}"
    return ApertureDbError(
        f"{count} {'was' if len(report.problems) == 1 else 'were'} skipped or failed: {names}",
        why=f"{first.name}: {first.reason}",
        details=tuple(f"{result.name}: {result.reason}" for result in others),
        next_step=steps,
        code="tables_skipped",
    )
