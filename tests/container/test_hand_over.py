"""How the container's command takes over from the entry point."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from aperture_db import __version__
from tests.container.processes import read_line, run_entrypoint, start_entrypoint


def test_the_command_is_the_same_process(
    new_database: Callable[[], str], one_migration: dict[str, str]
) -> None:
    process = start_entrypoint(
        "sh",
        "-c",
        "echo I am $$",
        conninfo=new_database(),
        RUN_MIGRATIONS_ON_START="true",
        **one_migration,
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.splitlines()[-1] == f"I am {process.pid}"


def test_arguments_streams_and_exit_code_are_the_commands_own() -> None:
    outcome = run_entrypoint("sh", "-c", 'printf "%s|" "$@"; echo no >&2; exit 41', "sh", "a b", "")
    assert (outcome.code, outcome.out, outcome.err) == (41, "a b||", "no\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGPIPE])
def test_signals_mean_to_the_command_what_they_mean_elsewhere(number: signal.Signals) -> None:
    process = start_entrypoint("sh", "-c", "echo up; exec sleep 600")
    assert read_line(process, "stdout") == "up\n"
    process.send_signal(number)
    assert process.wait(timeout=30) == -number
    process.communicate()


@pytest.mark.parametrize(
    ("command", "out"),
    [
        (["--version"], f"aperture-db {__version__}\n"),
        (["sh", "-c", "echo a program"], "a program\n"),
        (["/bin/echo", "a path"], "a path\n"),
    ],
)
def test_what_is_no_program_is_a_command_of_the_tool(command: list[str], out: str) -> None:
    assert run_entrypoint(*command).out == out


def test_no_command_shows_the_help() -> None:
    assert "Usage: aperture-db" in run_entrypoint().out


@pytest.mark.parametrize(
    ("command", "code", "why"),
    [
        ("/nothing/here", 127, "No such file or directory"),
        ("/etc/passwd", 126, "Permission denied"),
        ("statz", 2, "the command line is not valid"),
    ],
)
def test_a_command_that_can_not_be_started(command: str, code: int, why: str) -> None:
    outcome = run_entrypoint(command)
    assert (outcome.code, outcome.out) == (code, "")
    assert f"why:   {why}\n" in outcome.err
