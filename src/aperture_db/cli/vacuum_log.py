"""Turns the events of a VACUUM into progress and into its report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aperture_db.errors import ApertureDbError
from aperture_db.format import list_some, plural
from aperture_db.render.vacuum import describe_result
from aperture_db.vacuum import events
from aperture_db.vacuum.report import (
    Outcome,
    SnapshotHolder,
    TableResult,
    VacuumPlan,
    VacuumReport,
)

if TYPE_CHECKING:
    from aperture_db.cli.run import Run
    from aperture_db.render.progress import ProgressReporter

MAX_STEPS = 4


class VacuumLog:
    """What was done so far. Keeps the run's note on interruption and its data current."""

    def __init__(self, run: Run, plan: VacuumPlan) -> None:
        self._run = run
        self._plan = plan
        self._results: list[TableResult] = []
        self._holders: dict[str, SnapshotHolder] = {}
        self._unremovable_rows = 0
        self._fraction = 0.0
        self._started = time.monotonic()

    def add(self, reporter: ProgressReporter, event: events.Event) -> None:
        """Report one event."""
        match event:
            case events.TableStarted(table, fraction):
                self._note(table.name)
                self._fraction = fraction
                reporter.step(table.name, fraction, 1.0)
            case events.Progress(table_name, step, fraction):
                self._fraction = fraction
                reporter.step(f"{table_name}: {step}", fraction, 1.0)
            case events.Waiting(table_name, sessions):
                held = "; ".join(map(str, sessions)) or "another session"
                reporter.step(f"{table_name}: waiting for its lock", self._fraction, 1.0)
                reporter.line(f"{table_name}: waiting for its lock, held by {held}", "warning")
            case events.ServerNotice(table_name, text):
                reporter.line(f"{table_name}: {text}", "warning")
            case events.LeftBehind(index, statement):
                self._run.warn(f"the invalid index {index} was left behind; drop it: {statement}")
            case events.TableFinished(result, holders):
                self._finish(reporter, result, holders)

    def _finish(
        self, reporter: ProgressReporter, result: TableResult, holders: tuple[SnapshotHolder, ...]
    ) -> None:
        self._results.append(result)
        for holder in holders:
            self._holders.setdefault(f"{holder.kind} {holder.pid or holder.name}", holder)
        if holders:
            self._unremovable_rows += result.after.dead_rows or 0
        self._run.data = self.report
        if result.is_problem:
            reporter.line(describe_result(result), "warning")
        elif self._run.options.verbose:
            reporter.line(describe_result(result))
        elif result.before.dead_rows:
            reporter.log(describe_result(result))

    def _note(self, name: str) -> None:
        done = [result.name for result in self._results if result.outcome is Outcome.DONE]
        waiting = [table.name for table in self._plan.tables[len(self._results) + 1 :]]
        note = (
            f"{len(done)} of {plural(len(self._plan.tables), 'table')} done; stopped at {name}, "
            "which has to be done again"
        )
        if waiting:
            note += f"; not begun: {list_some(waiting)}"
        self._run.interrupted_note = note

    @property
    def report(self) -> VacuumReport:
        """What was done up to now."""
        return VacuumReport(
            mode=self._plan.mode,
            results=tuple(self._results),
            remaining=tuple(t.name for t in self._plan.tables[len(self._results) :]),
            unremovable_rows=self._unremovable_rows,
            snapshot_holders=tuple(self._holders.values()),
            duration_seconds=time.monotonic() - self._started,
        )


def tell_old_snapshots(run: Run, report: VacuumReport) -> None:
    """Warn of who keeps dead rows alive."""
    for holder in report.snapshot_holders:
        run.warn(
            f"{plural(report.unremovable_rows, 'dead row')} can't be removed yet: {holder} still "
            f"sees them; to end that: {holder.advice}"
        )


def error_of(report: VacuumReport) -> ApertureDbError:
    """The error that names every table that was not done. There must be at least one."""
    first, *others = report.problems
    names = list_some(result.name for result in report.problems)
    steps = list(dict.fromkeys(result.advice for result in report.problems))
    if len(steps) > MAX_STEPS:
        steps[MAX_STEPS:] = [f"and {len(steps) - MAX_STEPS} more of the kind"]
    return ApertureDbError(
        f"{plural(len(report.problems), 'table')} of {len(report.results)} could not be done: "
        f"{names}",
        why=f"{first.name}: {first.reason}",
        details=tuple(f"{result.name}: {result.reason}" for result in others),
        next_step="\n".join(steps),
        code="tables_skipped",
    )
