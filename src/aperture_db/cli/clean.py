"""`aperture-db clean`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from aperture_db.cli.command import command
from aperture_db.cli.options import ConfirmOption, parse_duration, require_confirmation
from aperture_db.cli.run import Run
from aperture_db.errors import UsageError

if TYPE_CHECKING:
    from aperture_db.clean import CleanReport, CleanResult, Kind, Limits, Progressed
    from aperture_db.postgres.connection import Connection

KEEPING = "What stays"


app = typer.Typer(add_completion=False)


@command(app, "clean")
def clean(
    run: Run,
    kinds: Annotated[
        list[str] | None,
        typer.Argument(metavar="KIND", help="Only these kinds; by default all are listed."),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Delete the named kinds, after a confirmation.")
    ] = False,
    confirm: ConfirmOption = None,
    keep: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", rich_help_panel=KEEPING, help="Newest runs of each job."
        ),
    ] = 100,
    cache_age: Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", rich_help_panel=KEEPING,
            help="Cached rows refreshed within this time.",
        ),
    ] = "30d",  # type: ignore[assignment]
    error_age: Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", rich_help_panel=KEEPING,
            help="Errors of external services that nobody dismissed.",
        ),
    ] = "90d",  # type: ignore[assignment]
    lock_timeout: Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", help="Give up when a lock takes longer."
        ),
    ] = "10s",  # type: ignore[assignment]
) -> None:  # fmt: skip
    """List what can go safely, and delete what you name.

    Kinds: orphans, expired-sessions, legacy-embeddings, stale-embeddings, job-history,
    old-runs, dead-jobs, old-cache, api-errors.
    """
    from aperture_db.clean import Kind, Limits

    chosen = _chosen(kinds or [])
    if apply and not chosen:
        raise UsageError(
            "--apply needs the kinds that are to go",
            why="nothing is deleted that was not named",
            next_step="aperture-db clean lists them; then: aperture-db clean --apply KIND …",
            code="no_kind",
        )
    limits = Limits(keep, _checked_cache_age(cache_age), error_age)
    with run.connect(read_only=True) as conn:
        plan = _collect(conn, chosen or list(Kind), limits)
    if apply:
        _apply(run, plan, confirm, lock_timeout)
    else:
        from aperture_db.render.clean import render_clean

        run.show(plan, render_clean)


def _chosen(words: list[str]) -> list[Kind]:
    """The kinds that the words name, commas between them allowed."""
    from aperture_db.clean import Kind

    named = [name for word in words for name in word.split(",") if name]
    unknown = [name for name in named if name not in set(Kind)]
    if unknown:
        raise UsageError(
            f"{unknown[0]} is not a kind of what can go",
            why=f"the kinds are {', '.join(Kind)}",
            next_step="aperture-db clean lists them",
            code="unknown_kind",
        )
    return [kind for kind in Kind if kind in named]


def _checked_cache_age(seconds: float) -> float:
    from aperture_db.clean import LONGEST_TTL_SECONDS

    if seconds < LONGEST_TTL_SECONDS:
        raise UsageError(
            "--cache-age is shorter than Aperture itself keeps its caches",
            why="rows younger than 7 days are still in use",
            next_step="give 7d or more",
            code="cache_age",
        )
    return seconds


def _collect(conn: Connection, kinds: list[Kind], limits: Limits) -> CleanReport:
    from aperture_db.clean import collect

    with conn.transaction():
        return collect(conn, kinds, limits)


def _apply(run: Run, plan: CleanReport, confirm: str | None, lock_timeout: float) -> None:
    from aperture_db.clean import CleanResult, refuse_unknown
    from aperture_db.render.clean import render_cleaned, render_plan

    run.data = plan
    refuse_unknown(plan)
    if not plan.rows:
        run.show(CleanResult(plan.database, (), 0.0, ()), render_cleaned)
        return
    if not run.options.json and not run.options.quiet:
        run.err.print_result(render_plan(plan))
    require_confirmation(
        run, confirm, f"This deletes {plan.rows:,} rows from {run.target}.\nIt can't be undone."
    )
    run.show(_delete(run, plan, lock_timeout), render_cleaned)


def _delete(run: Run, plan: CleanReport, lock_timeout: float) -> CleanResult:
    """Delete; a failure half way still tells what went before it."""
    from aperture_db.clean import apply, summarize
    from aperture_db.format import plural

    last: dict[tuple[Kind, str], Progressed] = {}
    started = time.monotonic()
    try:
        with run.connect() as conn, run.reporter() as reporter:
            for event in apply(conn, plan, lock_timeout_seconds=lock_timeout):
                table = event.table
                last[event.kind, table.table] = event
                rows = sum(each.table.rows for each in last.values())
                run.interrupted_note = (
                    f"{plural(rows, 'row')} are deleted and stay so, the rest is untouched"
                )
                total = max(event.planned_rows, table.rows)
                reporter.step(f"{event.kind}: {table.table}", table.rows, total)
    finally:
        result = summarize(plan.database, last.values(), time.monotonic() - started)
        run.data = result
    return result
