"""Turns the events of a migrate run into progress and into its report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aperture_db.format import format_seconds
from aperture_db.migrations import apply
from aperture_db.migrations.report import AppliedMigration, MigrateReport
from aperture_db.migrations.status import State

if TYPE_CHECKING:
    from aperture_db.cli.run import Run
    from aperture_db.migrations.plan import MigrationPlan
    from aperture_db.render.progress import ProgressReporter


class MigrateLog:
    """What a run did so far. Keeps the run's note on interruption current."""

    def __init__(self, run: Run, planned: MigrationPlan, *, is_rehearsal: bool) -> None:
        self._run = run
        self._planned = planned
        self._is_rehearsal = is_rehearsal
        self._applied: list[AppliedMigration] = []
        self._elsewhere: list[str] = []
        self._started = time.monotonic()
        self._note()

    def add(self, reporter: ProgressReporter, event: apply.Event) -> None:
        """Report one event."""
        match event:
            case apply.Started(name):
                done = len(self._applied) + len(self._elsewhere)
                reporter.step(name, done, len(self._planned.files))
            case apply.Waiting(name, holders, waited_seconds):
                held = "; ".join(f"held by {holder}" for holder in holders) or "holder unknown"
                waited = format_seconds(waited_seconds)
                reporter.line(f"waiting  {name}: a lock for {waited}, {held}", "warning")
            case apply.Applied(name, duration_seconds):
                self._applied.append(AppliedMigration(name, duration_seconds))
                self._note()
                done_word = "rehearsed" if self._is_rehearsal else "applied"
                report = reporter.line if self._run.options.verbose else reporter.log
                report(f"{done_word}  {name}  {format_seconds(duration_seconds)}")
            case apply.AppliedElsewhere(name):
                self._elsewhere.append(name)
                reporter.line(f"skipped  {name}  another runner applied it")

    def report_notice(
        self, reporter: ProgressReporter, severity: str | None, text: str | None
    ) -> None:
        """Report what the server says about a file; that a guarded statement had nothing to do
        only with -v."""
        kind, text = (severity or "NOTICE").lower(), text or ""
        line = f"  {kind}: {text}"
        if kind == "warning":
            reporter.line(line, kind)
        elif self._run.options.verbose:
            reporter.line(line, "muted")
        elif not text.endswith(", skipping"):
            reporter.remark(line, "muted")

    @property
    def report(self) -> MigrateReport:
        """What was done up to now."""
        done = {*(migration.name for migration in self._applied), *self._elsewhere}
        if self._is_rehearsal:
            done = set()
        pending = tuple(name for name in self._planned.status.pending if name not in done)
        before = len(self._planned.status.names(State.APPLIED))
        return MigrateReport(
            applied=tuple(self._applied),
            applied_elsewhere=tuple(self._elsewhere),
            pending=pending,
            recorded_count=before + len(done),
            is_rehearsal=self._is_rehearsal,
            duration_seconds=time.monotonic() - self._started,
        )

    def _note(self) -> None:
        count = len(self._applied)
        self._run.interrupted_note = (
            "the rehearsal was rolled back, nothing was changed"
            if self._is_rehearsal
            else f"{count} of {len(self._planned.files)} pending migrations were applied and stay; "
            "nothing of the next one was kept"
        )
