"""Options that several commands share: durations such as 30m, and the confirmation."""

from __future__ import annotations

import sys
from typing import Annotated, TypeAlias

import typer

from aperture_db.cli.run import Run
from aperture_db.errors import NotConfirmedError
from aperture_db.format import parse_seconds

PHRASE = "yes I am sure"

ConfirmOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--confirm", metavar="PHRASE", help=f'Confirm without a terminal: "{PHRASE}".'),
]


def parse_duration(text: str) -> float:
    """Seconds. Raises typer.BadParameter."""
    try:
        return parse_seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def require_confirmation(run: Run, given: str | None, question: str) -> None:
    """Return only when the phrase was given: with --confirm, or typed at a terminal.

    `given` is the value of --confirm; if set, nobody is asked. At a terminal the phrase has to be
    typed exactly, case included, and there is one attempt; `question` says what will happen, one
    sentence per line. --json never asks. Raises NotConfirmedError.
    """
    if given is not None:
        answer, source = given, "--confirm"
    elif run.options.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise _not_confirmed("there is no terminal to ask at, or --json is set")
    else:
        for sentence in question.splitlines():
            run.err.print_prose(sentence, "warning")
        run.err.print(f'Type "{PHRASE}" to continue: ', end="", soft_wrap=True)
        answer, source = sys.stdin.readline().rstrip("\r\n"), "the answer"
    if answer != PHRASE:
        raise _not_confirmed(f'{source} is not exactly "{PHRASE}"')


def _not_confirmed(why: str) -> NotConfirmedError:
    return NotConfirmedError(
        "not confirmed, nothing was changed",
        why=why,
        next_step=f'type the phrase at a terminal, or add --confirm "{PHRASE}"',
    )
