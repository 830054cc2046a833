"""`aperture-db health`."""

from __future__ import annotations

import time
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from aperture_db.cli.command import command, exit_code_of
from aperture_db.cli.durations import parse_duration
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.options import (
    MIN_SECONDS,
    WatchOption,
    complete_from,
    require_watchable,
    watch,
)
from aperture_db.cli.run import Run
from aperture_db.errors import ApertureDbError, ConnectError, UsageError
from aperture_db.format import shell_command

with lazy_imports():
    from aperture_db.health import check as health_check
    from aperture_db.health import checks
    from aperture_db.health import report as results
    from aperture_db.health import run as health_run
    from aperture_db.render import health as view

CHOOSING = "Which checks"
CRITICAL, UNKNOWN = 2, 3


class HealthFormat(StrEnum):
    """The output formats of `health`."""

    TABLE = "table"
    JSON = "json"
    NAGIOS = "nagios"
    PROMETHEUS = "prometheus"


def exit_code(error: ApertureDbError) -> int:
    """Monitoring takes an unreachable server for critical, and everything else for unknown."""
    return CRITICAL if isinstance(error, ConnectError) else UNKNOWN


CHECK_IDS = complete_from(lambda: (check.id for check in checks.CHECKS))
THRESHOLDS = complete_from(lambda: (f"{c.id}=" for c in checks.CHECKS if c.thresholds))
OnlyOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID",
        rich_help_panel=CHOOSING,
        help="Run only this check.",
        autocompletion=CHECK_IDS,
    ),
]
IgnoreOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID[:OBJECT]",
        rich_help_panel=CHOOSING,
        help="Skip this check, or its findings about one object (* matches any text).",
        autocompletion=CHECK_IDS,
    ),
]
WarnOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID=VALUE",
        rich_help_panel=CHOOSING,
        help="Warning threshold.",
        autocompletion=THRESHOLDS,
    ),
]
CritOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID=VALUE",
        rich_help_panel=CHOOSING,
        help="Critical threshold.",
        autocompletion=THRESHOLDS,
    ),
]

app = typer.Typer(add_completion=False)


@command(
    app,
    "health",
    is_scheduled_work=lambda options: options["watch_seconds"] is None,
    exit_code_of_error=exit_code,
    examples=[
        "aperture-db health",
        "aperture-db health -q --ignore backup-age    # from cron: prints problems only",
        "aperture-db health --only dead-rows --warn dead-rows=50%",
    ],
)
def health(
    run: Run,
    only: OnlyOption = None,
    ignore: IgnoreOption = None,
    warn: WarnOption = None,
    crit: CritOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Count skipped checks as unknown (exit code 3).")
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", help="Stop a check after this time."
        ),
    ] = "5s",  # type: ignore[assignment]
    watch_seconds: WatchOption = None,
    form: Annotated[
        HealthFormat,
        typer.Option(
            "--format", metavar="FORMAT",
            help="Output format: table, json, nagios or prometheus.",
        ),
    ] = HealthFormat.TABLE,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="With --format prometheus: write to this file, atomically."
        ),
    ] = None,
) -> int:  # fmt: skip
    """Check the database and suggest fixes.

    Nothing is written. Exit code 0: ok, 1: warning, 2: critical or not reachable, 3: unknown.
    """
    form = _settle_format(run, form, output)
    try:
        selection = health_run.make_selection(
            checks.CHECKS,
            only=only or (),
            ignore=ignore or (),
            warn=warn or (),
            crit=crit or (),
            strict=strict,
            timeout_seconds=timeout,
        )
        if watch_seconds is not None:
            return _watch(run, selection, watch_seconds, form, output)
        report = _check(run, selection)
    except ApertureDbError as error:
        if form is HealthFormat.NAGIOS:
            # Monitoring reads stdout only.
            run.print_raw(view.render_nagios_failure(error.what, error.why))
            return exit_code(error)
        raise
    return _print_report(run, report, form, output)


def _settle_format(run: Run, form: HealthFormat, output: Path | None) -> HealthFormat:
    """--json and --format json are one thing."""
    if run.options.json and form not in (HealthFormat.TABLE, HealthFormat.JSON):
        raise UsageError(
            f"--json can't be combined with --format {form}",
            why="a run prints its report in one format",
            next_step="leave one of them out",
        )
    if form is HealthFormat.JSON or run.options.json:
        form = HealthFormat.JSON
        run.options = replace(run.options, json=True)
    if output is not None and form is not HealthFormat.PROMETHEUS:
        raise UsageError(
            "--output can only be used with --format prometheus",
            why="other formats are printed on stdout",
            next_step="add --format prometheus, or redirect: aperture-db health > "
            + shell_command(output),
        )
    return form


def _check(run: Run, selection: health_check.CheckSelection) -> results.HealthReport:
    connect = partial(run.connect, read_only=True)
    return health_run.run_checks(connect, run.target, checks.CHECKS, selection)


def _print_report(
    run: Run, report: results.HealthReport, form: HealthFormat, output: Path | None
) -> int:
    """Print or write the report; returns the exit code. Raises the error that cut it short."""
    full_view = partial(view.render_health, verbose=run.options.verbose > 0)
    run.keep(report, full_view)
    if form is HealthFormat.NAGIOS:
        run.print_raw(view.render_nagios(report))
        return report.verdict.exit_code
    if form is HealthFormat.PROMETHEUS:
        _print_prometheus(run, report, output)
    elif form is HealthFormat.TABLE and (report.error is None or len(report.checks) > 1):
        run.show(report, full_view, view.render_problems if report.problems else None)
    if report.error is not None:
        raise report.error
    return report.verdict.exit_code


def _print_prometheus(run: Run, report: results.HealthReport, output: Path | None) -> None:
    text = view.render_prometheus(report)
    if output is None:
        run.print_raw(text.rstrip("\n"))
    else:
        run.write_file(output, text, mode=0o666)


def _watch(
    run: Run,
    selection: health_check.CheckSelection,
    seconds: float,
    form: HealthFormat,
    output: Path | None,
) -> int:
    """Check again and again, each time through a new connection: an outage is a state, too."""
    verbose = run.options.verbose > 0
    read = partial(_check, run, selection)
    if form in (HealthFormat.TABLE, HealthFormat.JSON):
        require_watchable(run)
        return watch(
            run, seconds, read, lambda new, _first: view.render_watched(new, verbose=verbose)
        )
    if output is None:
        raise UsageError(
            f"--watch can't be combined with --format {form}",
            why="its reader expects one report",
            next_step="add --output FILE to keep a Prometheus text file current",
        )
    try:
        while True:
            _print_prometheus(run, read(), output)
            time.sleep(max(seconds, MIN_SECONDS))
    except KeyboardInterrupt as interrupt:
        return exit_code_of(interrupt)
