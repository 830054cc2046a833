"""The help of every command, as text files that are read in review."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.models import OptionInfo, ParameterInfo

from aperture_db.cli.app import COMMANDS
from tests.cli import run_cli


def commands_of(module: str, name: str) -> Iterator[tuple[tuple[str, ...], Callable[..., Any]]]:
    """Every command of one module: its words and the function behind it."""
    app = import_module(module).app
    for command in app.registered_commands:
        words = (name,) if command.name == name else (name, str(command.name))
        yield words, command.callback


FUNCTIONS = dict(
    each for name, entry in COMMANDS.items() for each in commands_of(entry.module, name)
)
# As `test_help_is_as_reviewed` compares them with the program.
SNAPSHOTS = Path(__file__).parents[1] / "snapshots" / "help"
GROUPS = {(), *(words[:-1] for words in FUNCTIONS)}


@pytest.mark.parametrize(
    "words", sorted({*FUNCTIONS, *GROUPS}), ids=lambda words: " ".join(words) or "program"
)
def test_help_is_as_reviewed(words: tuple[str, ...], snapshot: Callable[[str, str], None]) -> None:
    outcome = run_cli(*words, "--help", COLUMNS="80")
    assert (outcome.code, outcome.err) == (0, "")
    text = "\n".join(line.rstrip() for line in outcome.out.splitlines()) + "\n"
    assert max(map(len, text.splitlines())) <= 80
    snapshot(f"help/{'-'.join(words) or 'aperture-db'}", text)


@pytest.mark.parametrize("words", FUNCTIONS, ids=" ".join)
def test_no_word_of_the_help_is_broken(words: tuple[str, ...]) -> None:
    narrow, wide = (
        set(run_cli(*words, "--help", COLUMNS=columns).out.split()) for columns in ("80", "300")
    )
    assert {word for word in narrow - wide if not set(word) <= set("╭╰╮╯─│")} == set()


@pytest.mark.parametrize("words", FUNCTIONS, ids=" ".join)
def test_the_help_of_a_command_ends_with_examples(words: tuple[str, ...]) -> None:
    text = (SNAPSHOTS / f"{'-'.join(words)}.txt").read_text(encoding="utf-8")
    _, _, end = text.rpartition("Examples:")
    examples = [line for line in end.splitlines() if line.startswith(f" aperture-db {words[0]}")]
    assert len(examples) >= 2


@pytest.mark.parametrize("words", FUNCTIONS, ids=" ".join)
def test_every_command_and_option_explains_itself(words: tuple[str, ...]) -> None:
    callback = FUNCTIONS[words]
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


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_the_program_is_that_of_the_command(name: str) -> None:
    help_text = FUNCTIONS[(name,)].__doc__ if (name,) in FUNCTIONS else None
    help_text = help_text or import_module(COMMANDS[name].module).app.info.help
    assert help_text.split("\n\n")[0].startswith(COMMANDS[name].summary)


def test_short_help_is_the_same_as_long_help() -> None:
    assert run_cli("migrate", "-h") == run_cli("migrate", "--help")


def test_no_arguments_show_the_help() -> None:
    assert run_cli() == run_cli("--help")
