"""The confirmation that destructive commands share."""

from __future__ import annotations

import sys
from typing import Annotated, TypeAlias

import typer

from aperture_db.cli.run import Run
from aperture_db.errors import NotConfirmedError

PHRASE = "yes I am sure"

ConfirmOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--confirm", metavar="PHRASE", help=f'Confirm without a terminal: "{PHRASE}".'),
]


def require_confirmation(run: Run, given: str | None, question: str) -> None:
    """Return only when the phrase was given: with --confirm, or typed at a terminal.

    `given` is the value of --confirm, which decides alone where it is there. At a terminal the
    phrase has to be typed exactly, upper and lower case too, and there is one try; `question`
    says what is about to happen, a sentence a line. --json never asks. Raises NotConfirmedError.
    """
    if given is not None:
        answer, source = given, "--confirm"
    elif run.options.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise _not_confirmed("nobody can be asked here: there is no terminal, or --json is set")
    else:
        for sentence in question.splitlines():
            run.err.print_prose(sentence, "warning")
        run.err.print(f'Type "{PHRASE}" to go on: ', end="", soft_wrap=True)
        answer, source = sys.stdin.readline().rstrip("\r\n"), "the answer"
    if answer != PHRASE:
        raise _not_confirmed(f'{source} is not exactly "{PHRASE}"')


def _not_confirmed(why: str) -> NotConfirmedError:
    return NotConfirmedError(
        "not confirmed, nothing was changed",
        why=why,
        next_step=f'type the phrase at a terminal, or add --confirm "{PHRASE}"',
    )
