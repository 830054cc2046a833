"""Options that several commands share: durations, the confirmation, and `--watch`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar

import typer

from aperture_db.cli.command import exit_code_of
from aperture_db.cli.durations import parse_duration
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.run import Run
from aperture_db.errors import NotConfirmedError, UsageError

PHRASE = "yes I am sure"

ConfirmOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--confirm", metavar="PHRASE", help=f'Confirm without a terminal: "{PHRASE}".'),
]


def complete_from(words: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """The completion of an option whose values are among `words`, also after commas.

    A shell asks for it at each press of Tab, so `words` must not connect.
    """

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{word}" for word in words() if word.startswith(last)]

    return complete


def require_confirmation(run: Run, given: str | None, *sentences: str) -> None:
    """Return only when the phrase was given: with --confirm, or typed at a terminal.

    `given` is the value of --confirm; if set, nobody is asked. At a terminal the phrase has to be
    typed exactly, case included, and there is one attempt; the `sentences` say what will happen.
    --json never asks. Raises NotConfirmedError.
    """
    if given is not None:
        answer, source = given, "--confirm"
    elif run.options.json or not _is_terminal():
        raise _not_confirmed("there is no terminal to ask at, or --json is set")
    else:
        for sentence in sentences:
            run.err.print_prose(sentence, "warning")
        run.err.print(f'Type "{PHRASE}" to continue: ', end="", soft_wrap=True)
        answer, source = sys.stdin.readline().rstrip("\r\n"), "the answer"
    if answer != PHRASE:
        raise _not_confirmed(f'{source} is not exactly "{PHRASE}"')


def _is_terminal() -> bool:
    """Python has no streams where the caller closed them."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _not_confirmed(why: str) -> NotConfirmedError:
    return NotConfirmedError(
        "not confirmed, nothing was changed",
        why=why,
        next_step=f'type the phrase at a terminal, or add --confirm "{PHRASE}"',
    )


with lazy_imports():
    from aperture_db.render import progress

if TYPE_CHECKING:
    from rich.console import RenderableType

Report = TypeVar("Report")

MIN_SECONDS = 0.1

WatchOption = Annotated[
    float | None,
    typer.Option(
        "--watch",
        parser=parse_duration,
        metavar="[SECONDS]",
        help="Refresh every SECONDS (default 5) until Ctrl-C.",
    ),
]


def require_watchable(run: Run) -> None:
    """Raise UsageError for options that can't be combined with --watch."""
    if run.options.json:
        raise UsageError(
            "--watch can't be combined with --json",
            why="--json prints exactly one object per run",
            next_step=f"aperture-db {run.command} --json",
        )
    if run.options.quiet:
        raise UsageError(
            "--watch can't be combined with --quiet",
            why="--quiet prints nothing to watch",
            next_step=f"aperture-db {run.command} --watch",
        )


def watch(
    run: Run,
    seconds: float,
    read: Callable[[], Report],
    view: Callable[[Report, Report], RenderableType],
) -> int:
    """Read and show until a signal ends it; returns the exit code of that signal.

    `view` gets the newest report and the first one, to show what has changed since. At a terminal
    the view is refreshed in place, elsewhere printed again.
    """
    in_place = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    try:
        with progress.refreshed_view(run.out, in_place=in_place) as show:
            first = newest = read()
            while True:
                show(view(newest, first))
                time.sleep(max(seconds, MIN_SECONDS))
                newest = read()
    except KeyboardInterrupt as interrupt:
        return exit_code_of(interrupt)
