"""`aperture-db demo`, `demo stop` and `demo reset`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

import typer

from aperture_db.cli.command import PlainGroup, command
from aperture_db.cli.run import Run

if TYPE_CHECKING:
    from collections.abc import Generator

    from typer._click.core import Context

    from aperture_db.demo.report import Ready, Step

Last = TypeVar("Last")

DEFAULT_COMMAND = "start"
URL_VARIABLE = "DATABASE_URL"


class StartsByDefault(PlainGroup):
    """A group whose bare name, options or not, means its command `start`."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Put the default command before options that are not a call for help."""
        is_bare = not args or args[0].startswith("-")
        if is_bare and not {"-h", "--help"}.intersection(args):
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="demo",
    cls=StartsByDefault,
    add_completion=False,
    help="Try the tool on a sample library of its own.",
)


@command(app, DEFAULT_COMMAND, connects=False)
def start(run: Run) -> None:
    """Start the demo, and create it the first time. This is what plain `demo` does.

    Its PostgreSQL server listens on this machine only.
    """
    from aperture_db.demo import lifecycle

    _present(run, _follow(run, lifecycle.start()))


@command(app, "stop", connects=False)
def stop(run: Run) -> None:
    """Stop the demo's server. Its data stays for the next start."""
    from aperture_db.demo import lifecycle
    from aperture_db.render.demo import render_stopped

    run.show(_follow(run, lifecycle.stop()), render_stopped)


@command(app, "reset", connects=False)
def reset(run: Run) -> None:
    """Delete the demo with everything in it, its backups too, and create it anew."""
    from aperture_db.demo import lifecycle

    _present(run, _follow(run, lifecycle.reset()))


def _follow(run: Run, events: Iterator[Step | Last]) -> Last:
    """Report the steps; returns the last item, the outcome."""
    from aperture_db.demo.report import Step

    phase = ""
    generator: Generator[Step | Last] = events  # type: ignore[assignment]
    # Closed at once if this process is interrupted, so that the demo cleans up.
    with closing(generator), run.reporter() as reporter:
        for event in generator:
            if not isinstance(event, Step):
                return event
            if event.phase != phase:
                phase = event.phase
                reporter.log(phase, "muted")
                run.interrupted_note = "what was unfinished of the demo was removed"
            reporter.step(f"{phase} {event.detail}".strip(), event.done, event.total)
    raise AssertionError("the events end with the outcome")


def _present(run: Run, ready: Ready) -> None:
    from aperture_db.demo.report import make_report
    from aperture_db.render.demo import render_demo
    from aperture_db.stats.overview import collect

    run.interrupted_note = "the demo runs"
    run.target = ready.target
    with run.connect(read_only=True) as conn:
        stats = collect(conn)
    run.show(make_report(ready, stats, os.environ), render_demo)
    if os.environ.get(URL_VARIABLE):
        run.warn(f"{URL_VARIABLE} is set and goes before the demo's file: unset it to use the demo")
