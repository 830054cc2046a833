"""`aperture-db clean`."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated

import typer

from aperture_db.cli.command import command
from aperture_db.cli.durations import parse_duration
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.options import ConfirmOption, complete_from, require_confirmation
from aperture_db.cli.run import Run
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.format import plural, shell_command

with lazy_imports():
    from aperture_db import clean as room
    from aperture_db.clean import apply, collect
    from aperture_db.postgres import activity
    from aperture_db.render import vacuum as view

KEEP_PANEL = "Rows to keep"
WAS = ("was", "were")

app = typer.Typer(add_completion=False)


@command(
    app,
    "clean",
    is_scheduled_work=lambda options: options["apply"] and not options["dry_run"],
    examples=[
        "aperture-db clean",
        "aperture-db clean --apply expired-sessions old-cache",
        "aperture-db clean --apply job-history --keep 20",
    ],
)
def clean(
    run: Run,
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KIND", help="List or delete only these kinds (default: list all).",
            autocompletion=complete_from(lambda: room.Kind),
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Delete the named kinds, after a confirmation.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be deleted only, also with --apply.")
    ] = False,
    confirm: ConfirmOption = None,
    keep: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", rich_help_panel=KEEP_PANEL,
            help="Keep the newest N runs of each job.",
        ),
    ] = 100,
    cache_age: Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", rich_help_panel=KEEP_PANEL,
            help="Keep cached rows that were refreshed within this time.",
        ),
    ] = "30d",  # type: ignore[assignment]
    error_age: Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", rich_help_panel=KEEP_PANEL,
            help="Keep errors of external services for this time, if nobody dismissed them.",
        ),
    ] = "90d",  # type: ignore[assignment]
    lock_timeout: Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", help="Fail after waiting this long for a lock."
        ),
    ] = "10s",  # type: ignore[assignment]
) -> None:  # fmt: skip
    """List data that can be deleted safely, and delete it.

    Kinds: orphans, expired-sessions, legacy-embeddings, stale-embeddings, job-history,
    old-runs, dead-jobs, old-cache, api-errors.
    """
    chosen = _chosen(kinds or [])
    if apply and not chosen:
        raise UsageError(
            "--apply needs the kinds to delete",
            why="only named kinds are deleted",
            next_step="aperture-db clean",
            code="no_kind",
        )
    limits = room.CleanLimits(keep, _checked_cache_age(cache_age), error_age)
    with run.connect(read_only=True) as conn, conn.transaction():
        plan = collect.collect(conn, chosen or list(room.Kind), limits)
    if dry_run and chosen:
        command = shell_command("aperture-db", "clean", "--apply", *chosen, *run.target.options)
        run.show(plan, partial(view.render_clean, command=command))
    elif apply and not dry_run:
        _apply(run, plan, confirm, lock_timeout)
    else:
        run.show(plan, view.render_clean)


def _chosen(words: list[str]) -> list[room.Kind]:
    """Return the kinds that the words name; commas between them are allowed."""
    named = [name for word in words for name in word.split(",") if name]
    unknown = [name for name in named if name not in set(room.Kind)]
    if unknown:
        raise UsageError(
            f"unknown kind: {unknown[0]}",
            why=f"the kinds are {', '.join(room.Kind)}",
            next_step="aperture-db clean",
            code="unknown_kind",
        )
    return [kind for kind in room.Kind if kind in named]


def _checked_cache_age(seconds: float) -> float:
    if seconds < room.LONGEST_TTL_SECONDS:
        raise UsageError(
            "--cache-age is shorter than Aperture itself keeps its caches",
            why="rows younger than 7 days are still in use",
            next_step="give 7d or more",
            code="cache_age",
        )
    return seconds


def _apply(run: Run, plan: room.CleanReport, confirm: str | None, lock_timeout: float) -> None:
    run.data = plan
    collect.refuse_unknown(plan)
    if not plan.rows:
        run.show(room.CleanResult(plan.database, (), 0.0, ()), view.render_cleaned)
        return
    if not run.options.json and not run.options.quiet:
        run.err.print_result(view.render_clean_plan(plan))
    require_confirmation(
        run, confirm, f"This deletes {plan.rows:,} rows from {run.target}.", "It can't be undone."
    )
    run.show(_delete(run, plan, lock_timeout), view.render_cleaned)


def _delete(run: Run, plan: room.CleanReport, lock_timeout: float) -> room.CleanResult:
    """Delete the planned rows; the run's data tells what was deleted before a failure, too."""
    last: dict[tuple[room.Kind, str], room.BatchDeleted] = {}
    started = time.monotonic()
    try:
        with run.connect() as conn, run.reporter() as reporter:
            activity.settle_commits(conn, run.target)
            for event in apply.apply(conn, plan, lock_timeout_seconds=lock_timeout):
                table = event.table
                last[event.kind, table.table] = event
                rows = sum(each.table.rows for each in last.values())
                deleted = plural(rows, "row", verb=WAS)
                run.interrupted_note = f"{deleted} deleted; nothing else was changed"
                total = max(event.planned_rows, table.rows)
                reporter.step(f"{event.kind}: {table.table}", table.rows, total)
    except ApertureDbError as error:
        error.details += tuple(
            f"{plural(each.table.rows, 'row', verb=WAS)} deleted from {each.table.table}"
            for each in last.values()
        ) or ("nothing was deleted",)
        raise
    finally:
        result = apply.summarize(plan.database, last.values(), time.monotonic() - started)
        run.data = result
    return result
