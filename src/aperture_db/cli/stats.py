"""`aperture-db stats`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from aperture_db.cli.command import command
from aperture_db.cli.run import Run
from aperture_db.cli.watch import WatchOption, require_watchable, watch
from aperture_db.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from aperture_db.stats.report import Hint


app = typer.Typer(add_completion=False)


@command(app, "stats")
def stats(
    run: Run,
    tables: Annotated[
        bool, typer.Option("--tables", help="List every table with its rows and disk space.")
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate",
            help="Don't count large tables: use the server's estimates, marked ~.",
        ),
    ] = False,
    watch_seconds: WatchOption = None,
    record: Annotated[
        bool,
        typer.Option(
            "--record", help="Keep counts and sizes as a sample in the schema aperture_db."
        ),
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="Show the growth over the recorded samples.")
    ] = False,
) -> int:
    """Count what the library holds, and say what is missing.

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
    from aperture_db.render.stats import render_stats
    from aperture_db.stats.overview import collect

    with run.connect(read_only=True) as conn:
        read = partial(collect, conn, estimate=estimate)
        if watch_seconds is not None:
            return watch(run, watch_seconds, read, render_stats)
        report = read()
    run.show(report, render_stats, _findings_view(report.hints))
    return 0


def _show_tables(run: Run, watch_seconds: float | None, *, estimate: bool) -> int:
    from aperture_db.render.stats_tables import render_tables
    from aperture_db.stats.tables import collect_tables

    with run.connect(read_only=True) as conn:
        read = partial(collect_tables, conn, estimate=estimate)
        if watch_seconds is not None:
            return watch(run, watch_seconds, read, lambda newest, _first: render_tables(newest))
        report = read()
    run.show(report, render_tables, _findings_view(report.hints))
    return 0


def _record(run: Run, *, estimate: bool) -> None:
    """Read as any other run does; only the sample itself is written."""
    from aperture_db.render.stats import render_stats
    from aperture_db.stats.history import record_sample
    from aperture_db.stats.measure import measure
    from aperture_db.stats.overview import collect

    run.interrupted_note = "no sample was recorded"
    with run.connect(read_only=True) as conn:
        report = collect(conn, estimate=estimate)
    measurement = measure(report)
    with run.connect() as conn:
        recorded_at = record_sample(conn, measurement)
    recorded = replace(report, recorded_at=recorded_at)
    run.show(recorded, render_stats, _findings_view(report.hints))
    run.say("recorded in aperture_db.samples; see the growth with: aperture-db stats --history")


def _show_history(run: Run) -> None:
    from aperture_db.render.history import render_history
    from aperture_db.stats.history import read_history

    with run.connect(read_only=True) as conn:
        history = read_history(conn)
    run.show(history, render_history)


def _findings_view(hints: tuple[Hint, ...]) -> Callable[[object], RenderableType] | None:
    """With -q, what needs attention is all that is printed."""
    from aperture_db.render.hints import render_hints

    findings = tuple(hint for hint in hints if hint.is_finding)
    return (lambda _report: render_hints(findings)) if findings else None


def _refuse(option: str, **others: object) -> None:
    """Raise UsageError when one of the other options was given too."""
    for name, value in others.items():
        if value not in (None, False):
            raise UsageError(
                f"{option} does not go with --{name}",
                why="each of them shows something of its own",
                next_step="run the command once for each",
            )
