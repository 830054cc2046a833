"""Nothing is deleted unless the phrase is given exactly."""

from __future__ import annotations

import pytest

from tests.cli import run_cli
from tests.purge.contents import read_contents
from tests.purge.purging import PHRASE
from tests.terminal import run_at_terminal

PURGE = ("purge", "--what", "ratings", "--no-backup")
END_OF_INPUT = "\x04"


@pytest.mark.parametrize(
    "typed",
    [
        "yes i am sure\n", " yes I am sure\n", "yes I am sure \n", "y\n", "yes\n", "\n",
        END_OF_INPUT,
    ],
)  # fmt: skip
def test_anything_else_typed_changes_nothing(typed: str, small_library: str) -> None:
    before = read_contents(small_library)
    # One try: a right answer after a wrong one is not read.
    code, shown = run_at_terminal(*PURGE, conninfo=small_library, typed=f"{typed}{PHRASE}\n")
    assert code == 4
    assert "error: not confirmed, nothing was changed" in shown
    assert "Will be deleted" in shown
    assert read_contents(small_library) == before


def test_the_phrase_typed_at_a_terminal(small_library: str) -> None:
    code, shown = run_at_terminal(*PURGE, conninfo=small_library, typed=f"{PHRASE}\n")
    assert code == 0
    assert "No backup will be made: this cannot be undone." in shown
    assert shown.index("Will be deleted") < shown.index('Type "') < shown.index("Deleted ")
    assert read_contents(small_library)["user_ratings"] == []


def test_what_cannot_be_recovered_stands_right_above_the_prompt(small_library: str) -> None:
    """The plan is longer than a terminal of 24 lines: what is lost must not have scrolled away."""
    _code, shown = run_at_terminal(*PURGE, conninfo=small_library, typed="no\n")
    asked = shown[: shown.index('Type "')].splitlines()
    assert len(asked) > 24
    assert "Cannot be recovered: " in " ".join(asked[-6:])
    assert "manual ratings" in " ".join(asked[-6:])


@pytest.mark.parametrize(
    "arguments",
    [(), ("--json",), ("--quiet",), ("--confirm", "y"), ("--confirm", ""),
     ("--confirm", "Yes I am sure"), ("--json", "--confirm", "yes I am sure ")],
)  # fmt: skip
def test_without_a_terminal_only_the_option_confirms(
    arguments: tuple[str, ...], small_library: str
) -> None:
    before = read_contents(small_library)
    outcome = run_cli(*PURGE, *arguments, conninfo=small_library, stdin=f"{PHRASE}\n")
    assert outcome.code == 4
    assert "not confirmed, nothing was changed" in outcome.err
    if "--json" in arguments:
        assert outcome.envelope["error"]["code"] == "not_confirmed"
        assert outcome.envelope["data"]["plan"]["rows"] > 0
        assert outcome.envelope["data"]["outcome"] is None
    assert read_contents(small_library) == before


def test_quiet_and_confirmed_prints_nothing_but_warnings(small_library: str) -> None:
    outcome = run_cli(*PURGE, "--quiet", "--confirm", PHRASE, conninfo=small_library)
    assert (outcome.code, outcome.out) == (0, "")
    assert all(line.startswith("warning: ") for line in outcome.err.splitlines())


def test_what_has_no_default(small_library: str) -> None:
    outcome = run_cli("purge", "--dry-run", conninfo=small_library)
    assert outcome.code == 2
    first = outcome.err.splitlines()[0]
    assert first.startswith("error: Missing option '--what'. Choose from: movies, series, content")


def test_another_number_of_rows_than_expected(small_library: str) -> None:
    before = read_contents(small_library)
    outcome = run_cli(
        *PURGE, "--confirm", PHRASE, "--expect-rows", "3", "--json", conninfo=small_library
    )
    assert outcome.code == 1
    assert outcome.envelope["error"]["code"] == "unexpected_rows"
    assert read_contents(small_library) == before
