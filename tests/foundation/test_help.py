"""The help of every command, as text files that are read in review."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer
from typer.models import OptionInfo, ParameterInfo

from aperture_db.cli.app import app
from tests.cli import run_cli


def commands_of(
    group: typer.Typer, prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Callable[..., Any]]]:
    """Every command's words and the function behind it."""
    for command in group.registered_commands:
        assert command.callback is not None
        yield (*prefix, str(command.name)), command.callback
    for below in group.registered_groups:
        assert below.typer_instance is not None
        name = below.name or below.typer_instance.info.name
        yield from commands_of(below.typer_instance, (*prefix, str(name)))


COMMANDS = dict(commands_of(app))
GROUPS = {(), *(words[:-1] for words in COMMANDS)}


@pytest.mark.parametrize(
    "words", sorted({*COMMANDS, *GROUPS}), ids=lambda words: " ".join(words) or "program"
)
def test_help_is_as_reviewed(words: tuple[str, ...], snapshot: Callable[[str, str], None]) -> None:
    outcome = run_cli(*words, "--help", COLUMNS="80")
    assert (outcome.code, outcome.err) == (0, "")
    text = "\n".join(line.rstrip() for line in outcome.out.splitlines()) + "\n"
    assert max(map(len, text.splitlines())) <= 80
    snapshot(f"help/{'-'.join(words) or 'aperture-db'}", text)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_and_option_explains_itself(words: tuple[str, ...]) -> None:
    callback = COMMANDS[words]
    assert callback.__doc__
    summary = callback.__doc__.split("\n\n")[0]
    assert summary.endswith(".")
    for parameter in inspect.signature(callback).parameters.values():
        (info,) = (
            each for each in parameter.annotation.__metadata__ if isinstance(each, ParameterInfo)
        )
        assert info.help, f"{' '.join(words)} {parameter.name} has no help"
        assert info.help.endswith("."), info.help
        assert isinstance(info, OptionInfo) or info.metavar


def test_short_help_is_the_same_as_long_help() -> None:
    assert run_cli("migrate", "-h") == run_cli("migrate", "--help")


def test_no_arguments_show_the_help() -> None:
    assert run_cli() == run_cli("--help")
