"""Every command line in the documents and examples is one that the program accepts."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
import typer

from aperture_db.cli.app import COMMANDS, spell_out_interval
from tests.docs.markdown import DOCUMENTS, EXAMPLES, ROOT, command_lines, name_of, read

# What stands for a value that the reader knows.
PLACEHOLDERS = {"N": "1", "SECONDS": "5", "TIME": "5s", "OLD=NEW": "1=2", "ID=VALUE": "latency=1s"}


# Images in which a command runs that is not the program's.
OTHER_PROGRAMS = ("sh",)


def parse(arguments: tuple[str, ...]) -> None:
    """Parse one command line without running it. Raises typer.TyperException for a bad one."""
    name, *rest = spell_out_interval([PLACEHOLDERS.get(word, word) for word in arguments])
    command = typer.main.get_command(import_module(COMMANDS[name].module).app)
    if not rest or {"--help", "-h"} & set(rest):
        # The bare name of a command, in a sentence.
        return
    context = command.make_context(name, list(rest))
    if isinstance(command, typer.core.TyperGroup) and rest:
        inner = command.get_command(context, rest[0])
        assert inner is not None, arguments
        inner.make_context(rest[0], rest[1:])


def is_command_line(arguments: tuple[str, ...]) -> bool:
    """Whether the words name a command, and neither leave words out (…) nor list options ([])."""
    if not arguments or arguments[0] in OTHER_PROGRAMS or "…" in arguments:
        return False
    is_synopsis = any(word.startswith("[") for word in arguments)
    return bool(re.match("[a-z]", arguments[0])) and not is_synopsis


@pytest.mark.parametrize("path", [*DOCUMENTS, *EXAMPLES], ids=name_of)
def test_command_lines_are_accepted(path: Path) -> None:
    for arguments in filter(is_command_line, command_lines(path)):
        assert arguments[0] in COMMANDS, arguments
        try:
            parse(arguments)
        except typer.TyperException as error:
            raise AssertionError(f"{' '.join(arguments)}: {error.format_message()}") from error


def test_the_documents_call_every_command() -> None:
    called = {
        arguments[0]
        for path in DOCUMENTS
        for arguments in command_lines(path)
        if is_command_line(arguments)
    }
    assert called == set(COMMANDS)


def test_the_readme_lists_every_command_in_its_panel() -> None:
    rows = re.findall(r"^\| (\w*) ?\| `([\w-]+)` \|", read(ROOT / "README.md"), re.MULTILINE)
    panels: list[str] = []
    for panel, _ in rows:
        panels.append(panel or panels[-1])
    listed = [(name, panel) for (_, name), panel in zip(rows, panels, strict=True)]
    assert sorted(listed) == sorted((name, entry.panel) for name, entry in COMMANDS.items())


@pytest.mark.parametrize(
    "line",
    [
        "stats --taables",
        "statistics",
        "purge --what films",
        "health --only",
        "demo sotp",
    ],
)
def test_a_wrong_command_line_is_found(line: str) -> None:
    with pytest.raises((typer.TyperException, KeyError, AssertionError)):
        parse(tuple(line.split()))
