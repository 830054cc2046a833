"""`aperture-db stats`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from aperture_db.cli.command import command
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.options import WatchOption, require_watchable, watch
from aperture_db.cli.run import Run
from aperture_db.errors import UsageError

with lazy_imports():
    from aperture_db.render import stats as view
    from aperture_db.stats import collect
    from aperture_db.stats import history as samples
    from aperture_db.stats import report as results

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(add_completion=False)


@command(
    app,
    "stats",
    is_scheduled_work=lambda options: options["record"],
    examples=[
        "aperture-db stats",
        "aperture-db stats --tables",
        "aperture-db stats --record -q    # from cron; then: aperture-db stats --history",
    ],
)
def stats(
    run: Run,
    tables: Annotated[
        bool, typer.Option("--tables", help="List every table with its rows and disk space.")
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate",
            help="Use PostgreSQL's estimates, marked ~, instead of counting large tables.",
        ),
    ] = False,
    watch_seconds: WatchOption = None,
    record: Annotated[
        bool,
        typer.Option(
            "--record", help="Record counts and sizes as a sample in the schema aperture_db."
        ),
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="Show the growth over the recorded samples.")
    ] = False,
) -> int:
    """Show library counts, storage and what is missing.

    Counts are exact unless marked ~. Nothing is written, except with --record.
    """
    if history:
        _refuse("--history", tables=tables, estimate=estimate, watch=watch_seconds, record=record)
        _show_history(run)
        return 0
    if record:
        _refuse("--record", tables=tables, watch=watch_seconds)
        _record(run, estimate=estimate)
        return 0
    if watch_seconds is not None:
        require_watchable(run)
    show = _show_tables if tables else _show_overview
    return show(run, watch_seconds, estimate=estimate)


def _show_overview(run: Run, watch_seconds: float | None, *, estimate: bool) -> int:
    with run.connect(read_only=True) as conn:
        read = partial(collect.collect, conn, estimate=estimate)
        if watch_seconds is not None:
            return watch(run, watch_seconds, read, view.render_watched)
        report = read()
    run.show(report, view.render_stats, _findings_view(report.hints))
    return 0


def _show_tables(run: Run, watch_seconds: float | None, *, estimate: bool) -> int:
    with run.connect(read_only=True) as conn:
        read = partial(collect.collect_tables, conn, estimate=estimate)
        if watch_seconds is not None:
            return watch(run, watch_seconds, read, lambda new, _first: view.render_tables(new))
        report = read()
    run.show(report, view.render_tables, _findings_view(report.hints))
    return 0


def _record(run: Run, *, estimate: bool) -> None:
    """Read as any other run does; only the sample itself is written."""
    run.interrupted_note = "no sample was recorded"
    with run.connect(read_only=True) as conn:
        report = collect.collect(conn, estimate=estimate)
    measurement = samples.measure(report)
    with run.connect() as conn:
        recorded_at = samples.record_sample(conn, measurement)
    recorded = replace(report, recorded_at=recorded_at)
    # From cron, where the same hints every day would be a mail every day.
    run.show(recorded, view.render_stats)
    run.say("recorded in aperture_db.samples; see the growth with: aperture-db stats --history")


def _show_history(run: Run) -> None:
    with run.connect(read_only=True) as conn:
        history = samples.read_history(conn)
    run.show(history, view.render_history)


def _findings_view(hints: Iterable[results.Hint]) -> Callable[[object], RenderableType] | None:
    """The view for -q: only the hints that need attention; None without any."""
    findings = tuple(hint for hint in hints if hint.is_finding)
    return (lambda _report: view.render_hints(findings)) if findings else None


def _refuse(option: str, **others: object) -> None:
    """Raise UsageError when one of the other options was given too."""
    for name, value in others.items():
        if value not in (None, False):
            raise UsageError(
                f"{option} can't be combined with --{name}",
                why="each of them prints a result of its own",
                next_step="run the command once for each",
            )
