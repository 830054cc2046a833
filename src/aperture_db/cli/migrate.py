"""`aperture-db migrate`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from aperture_db.cli.command import command
from aperture_db.cli.durations import parse_duration
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.run import Run
from aperture_db.errors import FindingError, UsageError
from aperture_db.format import format_seconds, plural

with lazy_imports():
    from aperture_db import migrations
    from aperture_db.migrations import apply, directory, status, transaction
    from aperture_db.postgres import connection
    from aperture_db.render import migrate as view
    from aperture_db.render import progress

MODES = "Instead of applying"

StatusOption: TypeAlias = Annotated[
    bool,
    typer.Option("--status", rich_help_panel=MODES, help="List applied and pending migrations."),
]
CheckOption: TypeAlias = Annotated[
    bool,
    typer.Option("--check", rich_help_panel=MODES, help="Exit with 5 if a migration is pending."),
]
DryRunOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--dry-run", rich_help_panel=MODES, help="List the migrations that would be applied."
    ),
]
RehearseOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--rehearse",
        rich_help_panel=MODES,
        help="Apply everything in one transaction and roll it back. Takes real locks.",
    ),
]
MarkAppliedOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=MODES,
        help="Record all migrations up to NAME as applied without running them.",
    ),
]
ToOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Stop after this migration (name or number)."),
]
DirectoryOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        help="Directory of .sql files (default: APERTURE_MIGRATIONS_DIR, else the bundled files).",
    ),
]
StrictOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--strict", help="Refuse unknown records and pending files older than applied ones."
    ),
]
LockWaitOption: TypeAlias = Annotated[
    float,
    typer.Option(parser=parse_duration, metavar="TIME", help="Wait this long for locks, per file."),
]
LockTimeoutOption: TypeAlias = Annotated[
    float,
    typer.Option(
        parser=parse_duration,
        metavar="TIME",
        help="Wait this long for a lock in one attempt; then retry after a pause.",
    ),
]

app = typer.Typer(add_completion=False)


@command(
    app,
    "migrate",
    is_scheduled_work=lambda options: (
        not any(
            options[mode]
            for mode in ("show_status", "check", "dry_run", "rehearsal", "mark_applied")
        )
    ),
    examples=[
        "aperture-db migrate",
        "aperture-db migrate --status",
        "aperture-db migrate --check --quiet || echo 'migrations are pending'",
    ],
)
def migrate(
    run: Run,
    show_status: StatusOption = False,
    check: CheckOption = False,
    dry_run: DryRunOption = False,
    rehearsal: RehearseOption = False,
    mark_applied: MarkAppliedOption = None,
    to: ToOption = None,
    path: DirectoryOption = None,
    strict: StrictOption = False,
    lock_wait: LockWaitOption = "30m",  # type: ignore[assignment]
    lock_timeout: LockTimeoutOption = "5s",  # type: ignore[assignment]
) -> None:
    """Apply pending migrations.

    Each file and its record in aperture_migrations share one transaction: if a file fails, its
    changes are rolled back. Several runs at the same time are safe, also with Aperture's own.
    """
    modes = {
        "--status": show_status,
        "--check": check,
        "--dry-run": dry_run,
        "--rehearse": rehearsal,
        "--mark-applied": mark_applied is not None,
    }
    _refuse_combinations([name for name, chosen in modes.items() if chosen])
    files = directory.read_directory(path)
    last_name = files.resolve_name(to) if to is not None else None
    if show_status or check:
        _show_status(run, files, strict=strict, check=check)
    elif mark_applied is not None:
        _mark_applied(run, files, mark_applied, lock_wait)
    else:
        with run.connect() as conn:
            planned = status.plan(conn, run.target, files, last_name=last_name, strict=strict)
            _warn_of_deviations(run, planned.status)
            run.warn_of_encoding(conn)
            if dry_run:
                run.show(migrations.DryRun(planned.names), view.render_dry_run)
            else:
                limits = transaction.LockLimits(
                    lock_wait, lock_timeout, planned.connection_check_interval
                )
                _Application(run, planned, is_rehearsal=rehearsal).run_all(conn, limits)


def _refuse_combinations(modes: list[str]) -> None:
    if len(modes) > 1:
        raise UsageError(
            f"{' and '.join(modes)} can't be combined",
            why="each of them says what to do instead of applying",
            next_step="choose one of them",
        )


def _show_status(
    run: Run, files: directory.MigrationDirectory, *, strict: bool, check: bool
) -> None:
    with run.connect(read_only=True) as conn, conn.transaction():
        try:
            status.require_location(conn)
        except UsageError as trouble:
            if check:
                raise
            run.warn_of(trouble)
        found = status.collect(conn, files)
    run.data = found
    if strict:
        status.refuse_deviations(found)
    if not check:
        run.show(found, view.render_status)
    _warn_of_deviations(run, found)
    if check and found.pending:
        raise FindingError(
            f"{len(found.pending):,} of {plural(len(found.migrations), 'migration')} "
            f"{'is' if len(found.pending) == 1 else 'are'} pending",
            why=f"the first one is {found.pending[0]}",
            next_step="aperture-db migrate",
            code="migrations_pending",
        )
    if check:
        run.say("Database is up to date.")


def _warn_of_deviations(run: Run, found: migrations.MigrationStatus) -> None:
    for sentence in status.describe_deviations(found):
        run.warn(sentence)


def _mark_applied(
    run: Run, files: directory.MigrationDirectory, name: str, lock_wait_seconds: float
) -> None:
    last_name = files.resolve_name(name)
    with run.connect() as conn:
        status.require_location(conn, creates=True)
        names = [each for each in files.names if each <= last_name]
        marked = transaction.mark_applied(conn, names, lock_wait_seconds)
    run.show(migrations.MarkedMigrations(marked), view.render_marked)


class _Application:
    """Applies or rehearses a plan, and keeps the note on interruption current."""

    def __init__(self, run: Run, planned: status.MigrationPlan, *, is_rehearsal: bool) -> None:
        self._run = run
        self._planned = planned
        self._is_rehearsal = is_rehearsal
        self._applied: list[migrations.AppliedMigration] = []
        self._elsewhere: list[str] = []
        self._started = time.monotonic()
        self._update_note()

    def run_all(self, conn: connection.Connection, limits: transaction.LockLimits) -> None:
        """Apply or rehearse every file and show the report."""
        run, files = self._run, self._planned.files
        if self._is_rehearsal:
            self._warn_of_rehearsal()
        try:
            with run.reporter() as reporter:
                conn.add_notice_handler(
                    lambda notice: self._report_notice(
                        reporter, notice.severity, notice.message_primary
                    )
                )
                events = (
                    apply.rehearse_files(conn, run.target, files, limits)
                    if self._is_rehearsal
                    else apply.apply_files(conn, run.target, files, limits)
                )
                outcomes: Iterator[apply.Outcome] = reporter.report(events)
                for outcome in outcomes:
                    self._add(reporter, outcome)
        finally:
            # A failure half way still has to report what was applied before it.
            run.data = self._report()
        run.show(self._report(), view.render_report)

    def _warn_of_rehearsal(self) -> None:
        files = self._planned.files
        if files:
            self._run.warn("a rehearsal takes real locks: Aperture may have to wait for its end")
        if left_out := [file.name for file in files if not file.in_transaction]:
            names = ", ".join(left_out)
            self._run.warn(f"not rehearsed, as it runs outside a transaction: {names}")

    def _add(self, reporter: progress.ProgressReporter, outcome: apply.Outcome) -> None:
        match outcome:
            case apply.Applied(name, duration_seconds):
                self._applied.append(migrations.AppliedMigration(name, duration_seconds))
                self._update_note()
                done_word = "rehearsed" if self._is_rehearsal else "applied"
                say = reporter.line if self._run.options.verbose else reporter.log
                say(f"{done_word}  {name}  {format_seconds(duration_seconds)}")
            case apply.AppliedElsewhere(name):
                self._elsewhere.append(name)
                reporter.line(f"skipped  {name}  another runner applied it")

    def _report_notice(
        self, reporter: progress.ProgressReporter, severity: str | None, text: str | None
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

    def _report(self) -> migrations.MigrateReport:
        done = {*(migration.name for migration in self._applied), *self._elsewhere}
        if self._is_rehearsal:
            done = set()
        before = self._planned.status
        return migrations.MigrateReport(
            applied=tuple(self._applied),
            applied_elsewhere=tuple(self._elsewhere),
            pending=tuple(name for name in before.pending if name not in done),
            recorded_count=len(before.names(migrations.State.APPLIED)) + len(done),
            is_rehearsal=self._is_rehearsal,
            duration_seconds=time.monotonic() - self._started,
        )

    def _update_note(self) -> None:
        self._run.interrupted_note = (
            "the rehearsal was rolled back, nothing was changed"
            if self._is_rehearsal
            else f"{len(self._applied)} of {len(self._planned.files)} pending migrations were "
            "applied and stay applied; the next one was applied as a whole or not at all"
        )
