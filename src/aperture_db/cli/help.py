"""The program's group of commands, and help without the types of options that take no value."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typer._click.core import Command, Context, Parameter
    from typer._click.formatting import HelpFormatter


class Entry(NamedTuple):
    """One command of the program, known without importing it."""

    module: str
    """It has the Typer instance `app`."""
    panel: str
    """Of the program's help."""
    summary: str
    """The first sentence of the command's help."""


class PlainCommand(TyperCommand):
    """Typer would write <bool> beside every flag."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """The command's options and --help."""
        return _without_types_of_flags(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """The same for a group of commands."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """The group's own options and --help."""
        return _without_types_of_flags(super().get_params(ctx))


class LazyGroup(PlainGroup):
    """Imports only the module of the command that is called, and none for its own help."""

    entries: Mapping[str, Entry]
    _is_listing = False

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002
        """In the order of the help."""
        return list(self.entries)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:  # noqa: ARG002
        """The command, built from its module; for the group's help, its summary only."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        if self._is_listing:
            return TyperCommand(cmd_name, help=entry.summary, rich_help_panel=entry.panel)
        command = typer.main.get_command(import_module(entry.module).app)
        command.name = cmd_name
        return command

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the help of the group."""
        self._is_listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._is_listing = False


def _without_types_of_flags(params: Iterable[Parameter]) -> list[Parameter]:
    params = list(params)
    for param in params:
        if isinstance(param, TyperOption) and param.is_flag and param.metavar is None:
            param.metavar = ""
    return params
