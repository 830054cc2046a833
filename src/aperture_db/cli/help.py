"""Commands whose help names no type beside options that take no value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer.core import TyperCommand, TyperGroup, TyperOption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typer._click.core import Context, Parameter


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


def _without_types_of_flags(params: Iterable[Parameter]) -> list[Parameter]:
    params = list(params)
    for param in params:
        if isinstance(param, TyperOption) and param.is_flag and param.metavar is None:
            param.metavar = ""
    return params
