"""`aperture-db demo` and its subcommands."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar, cast

import typer

from aperture_db.cli.command import PlainGroup, command, examples_epilog
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.run import Run

with lazy_imports():
    from aperture_db import progress
    from aperture_db.demo import home as results
    from aperture_db.demo import lifecycle
    from aperture_db.render import demo as view
    from aperture_db.stats import collect

if TYPE_CHECKING:
    from typer._click.core import Context

Outcome = TypeVar("Outcome")

DEFAULT_COMMAND = "start"
URL_VARIABLE = "DATABASE_URL"


class StartsByDefault(PlainGroup):
    """A group whose bare name, with or without options, runs its command `start`."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Insert the default command before options other than help.

        While a command line is being completed its next word may still be another command.
        """
        is_bare = args[0].startswith("-") if args else not ctx.resilient_parsing
        if is_bare and not {"-h", "--help"}.intersection(args):
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="demo",
    cls=StartsByDefault,
    add_completion=False,
    help="Try the tool on a sample library.",
    epilog=examples_epilog(
        ["aperture-db demo", "aperture-db demo stop", "aperture-db demo remove"]
    ),
)


@command(
    app,
    DEFAULT_COMMAND,
    connects=False,
    examples=["aperture-db demo", "aperture-db demo --json"],
)
def start(run: Run) -> None:
    """Start the demo; the first start creates it. Plain `demo` does the same.

    The demo is a PostgreSQL server with a sample library. It listens on this machine only.
    """
    _present(run, _follow(run, lifecycle.start()))


@command(
    app,
    "stop",
    connects=False,
    examples=["aperture-db demo stop", "aperture-db demo stop --json"],
)
def stop(run: Run) -> None:
    """Stop the demo's server. Its data is kept for the next start."""
    run.show(_follow(run, lifecycle.stop()), view.render_stopped)


@command(
    app,
    "reset",
    connects=False,
    examples=["aperture-db demo reset", "aperture-db demo reset --quiet"],
)
def reset(run: Run) -> None:
    """Delete the demo, its backups included, and create a new one."""
    _present(run, _follow(run, lifecycle.reset()))


@command(
    app,
    "remove",
    connects=False,
    examples=["aperture-db demo remove", "aperture-db demo remove --json"],
)
def remove(run: Run) -> None:
    """Delete the demo with its server's programs and its backups."""
    run.show(_follow(run, lifecycle.remove()), view.render_removed)


def _follow(run: Run, events: Iterator[progress.Event | Outcome]) -> Outcome:
    """Report the progress; returns the last item, the outcome."""
    run.interrupted_note = "no unfinished demo is left"
    # Closed at once if this process is interrupted, so that the demo cleans up.
    with (
        closing(cast("Generator[progress.Event | Outcome]", events)) as generator,
        run.reporter() as reporter,
    ):
        for outcome in reporter.report(generator):
            return outcome
    raise AssertionError("the events end with the outcome")


def _present(run: Run, ready: results.Ready) -> None:
    run.interrupted_note = "the demo is running"
    run.target = ready.target
    with run.connect(read_only=True) as conn:
        stats = collect.collect(conn)
    run.show(results.make_report(ready, stats, os.environ), view.render_demo)
    if os.environ.get(URL_VARIABLE):
        run.warn(f"{URL_VARIABLE} is set and takes precedence: unset it to use the demo")
