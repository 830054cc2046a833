"""The commands of the documentation and of the examples exist, with the options named there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.program import run_inside

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    ROOT / "docker-compose.yml",
    *sorted((ROOT / "examples").rglob("*.service")),
    *(ROOT / "docs" / name for name in ("docker.md", "external-database.md", "scheduling.md")),
]
# In code: an indented line, or between backticks, or the command of a unit.
CODE = re.compile(r"^(?: {4}|#  |ExecStart=).*$|`[^`\n]+`", re.MULTILINE)
COMMAND = re.compile(r"\baperture-db (?=[a-z-]+)(?P<command>[a-z][a-z-]+)(?P<rest>[^|;&`#]*)")
PROGRAMS = {"psql", "sh", "aperture-db"}


def commands(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every command line of aperture-db: its command and its options."""
    for code in CODE.findall(path.read_text()):
        for match in COMMAND.finditer(code.replace("aperture-db aperture-db", "aperture-db")):
            if match["command"] not in PROGRAMS:
                yield match["command"], tuple(re.findall(r"(?<= )--?[a-z][a-z-]*", match["rest"]))


@cache
def help_of(command: str) -> str:
    outcome = run_inside(command, "--help")
    assert outcome.code == 0, f"there is no command {command}: {outcome.err}"
    return outcome.out


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_commands_and_their_options_exist(path: Path) -> None:
    found = list(commands(path))
    assert found
    for command, options in found:
        for option in options:
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", help_of(command)), (command, option)
        help_of(command)


def test_docker_exec_names_a_container_that_is_called_so() -> None:
    """Compose calls it `project-service-1` where nothing else is said."""
    called = {
        name
        for path in (ROOT / "docker-compose.yml", ROOT / "docs" / "docker.md")
        for name in re.findall(r"^ +container_name: ([\w-]+)", path.read_text(), re.MULTILINE)
    }
    used = {
        name
        for path in FILES
        for name in re.findall(r"docker exec (?:-it )?([\w-]+) aperture-db ", path.read_text())
    }
    assert used == called | {"aperture"}
