"""`aperture-db health`."""

from __future__ import annotations

import time
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aperture_db.cli.command import command
from aperture_db.cli.options import parse_duration
from aperture_db.cli.run import Run
from aperture_db.cli.signals import exit_code_of
from aperture_db.cli.watch import MIN_SECONDS, WatchOption, require_watchable, watch
from aperture_db.errors import ApertureDbError, ConnectError, UsageError

if TYPE_CHECKING:
    from aperture_db.health import HealthReport, Selection

CHOOSING = "Which checks"
CRITICAL, UNKNOWN = 2, 3


class Format(StrEnum):
    """How the state is told."""

    TABLE = "table"
    JSON = "json"
    NAGIOS = "nagios"
    PROMETHEUS = "prometheus"


def exit_code(error: ApertureDbError) -> int:
    """Monitoring takes an unreachable server for critical, and everything else for unknown."""
    return CRITICAL if isinstance(error, ConnectError) else UNKNOWN


app = typer.Typer(add_completion=False)


@command(app, "health", exit_code_of_error=exit_code)
def health(
    run: Run,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", rich_help_panel=CHOOSING, help="Run only this check."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID[:OBJECT]", rich_help_panel=CHOOSING,
            help="Leave this check out, or what it finds about one object (* fits all).",
        ),
    ] = None,
    warn: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=VALUE", rich_help_panel=CHOOSING, help="Warn from this value on."
        ),
    ] = None,
    crit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=VALUE", rich_help_panel=CHOOSING, help="Critical from this value on."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Count skipped checks as unknown (exit code 3).")
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", help="Give up a check after this time."
        ),
    ] = "5s",  # type: ignore[assignment]
    watch_seconds: WatchOption = None,
    form: Annotated[
        Format, typer.Option("--format", help="How to tell the state.")
    ] = Format.TABLE,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="With --format prometheus: replace this file as a whole."
        ),
    ] = None,
) -> int:  # fmt: skip
    """Find what is wrong, and say what mends it.

    Nothing is written. Exit code 0: ok, 1: warning, 2: critical or not reachable, 3: unknown.
    """
    from aperture_db.health import CHECKS, make_selection

    form = _settle_format(run, form, output)
    try:
        selection = make_selection(
            CHECKS,
            only=only or (),
            ignore=ignore or (),
            warn=warn or (),
            crit=crit or (),
            strict=strict,
            timeout_seconds=timeout,
        )
        if watch_seconds is not None:
            return _watch(run, selection, watch_seconds, form, output)
        report = _read(run, selection)
    except ApertureDbError as error:
        if form is Format.NAGIOS:
            return _tell_nagios_failure(run, error)
        raise
    return _tell(run, report, form, output)


def _settle_format(run: Run, form: Format, output: Path | None) -> Format:
    """--json and --format json are one thing."""
    if run.options.json and form not in (Format.TABLE, Format.JSON):
        raise UsageError(
            f"--json does not go with --format {form}",
            why="a run tells the state in one format",
            next_step="leave one of them out",
        )
    if form is Format.JSON or run.options.json:
        form = Format.JSON
        run.options = replace(run.options, json=True)
    if output is not None and form is not Format.PROMETHEUS:
        raise UsageError(
            "--output goes with --format prometheus",
            why="other formats are for a reader, who has stdout",
            next_step=f"add --format prometheus, or redirect: aperture-db health > {output}",
        )
    return form


def _read(run: Run, selection: Selection) -> HealthReport:
    from aperture_db.health import CHECKS, run_checks

    return run_checks(partial(run.connect, read_only=True), run.target, CHECKS, selection)


def _tell(run: Run, report: HealthReport, form: Format, output: Path | None) -> int:
    """Print or write the report; returns the exit code. Raises what kept it from being whole."""
    run.data = report
    if form is Format.NAGIOS:
        from aperture_db.render.nagios import render_nagios

        run.print_raw(render_nagios(report))
        return report.verdict.exit_code
    if form is Format.PROMETHEUS:
        _tell_prometheus(run, report, output)
    elif form is Format.TABLE:
        _tell_people(run, report)
    if report.error is not None:
        raise report.error
    return report.verdict.exit_code


def _tell_people(run: Run, report: HealthReport) -> None:
    from aperture_db.render.health import render_health, render_problems

    if report.error is not None and len(report.checks) == 1:
        return
    verbose = run.options.verbose > 0
    problems = render_problems if report.problems else None
    run.show(report, lambda shown: render_health(shown, verbose=verbose), problems)


def _tell_prometheus(run: Run, report: HealthReport, output: Path | None) -> None:
    from aperture_db.health.textfile import write_whole
    from aperture_db.render.prometheus import render_prometheus

    text = render_prometheus(report)
    if output is None:
        run.print_raw(text.rstrip("\n"))
    else:
        write_whole(output, text)


def _tell_nagios_failure(run: Run, error: ApertureDbError) -> int:
    """Monitoring reads stdout only."""
    from aperture_db.render.nagios import render_nagios_failure

    run.print_raw(render_nagios_failure(error.what, error.why))
    return exit_code(error)


def _watch(
    run: Run, selection: Selection, seconds: float, form: Format, output: Path | None
) -> int:
    """Check again and again, each time through a new connection: an outage is a state, too."""
    from aperture_db.render.health import render_watched

    verbose = run.options.verbose > 0
    read = partial(_read, run, selection)
    if form in (Format.TABLE, Format.JSON):
        require_watchable(run)
        return watch(run, seconds, read, lambda new, _first: render_watched(new, verbose=verbose))
    if output is None:
        raise UsageError(
            f"--watch does not go with --format {form}",
            why="its reader expects one state",
            next_step="add --output FILE to keep a Prometheus text file current",
        )
    try:
        while True:
            _tell_prometheus(run, read(), output)
            time.sleep(max(seconds, MIN_SECONDS))
    except KeyboardInterrupt as interrupt:
        return exit_code_of(interrupt)
