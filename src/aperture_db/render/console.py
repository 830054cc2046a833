"""Consoles for stdout and stderr, each with its own answer to colour and width."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TextIO

from rich.console import Console
from rich.theme import Theme

# Wide enough that no line is ever wrapped or cut for a pipe or a log.
UNLIMITED_WIDTH = 16_384

THEME = Theme(
    {
        "ok": "green",
        "info": "cyan",
        "warning": "yellow",
        "critical": "bold red",
        "error": "bold red",
        "skipped": "dim",
        "muted": "dim",
        "heading": "bold",
        "table.header": "bold",
        "progress.elapsed": "dim",
    }
)


class ColorMode(StrEnum):
    """When to colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def wants_color(mode: ColorMode, stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether `stream` gets colour: the option, then NO_COLOR (no-color.org), then FORCE_COLOR
    and CLICOLOR_FORCE unless they are 0, then whether it is a terminal."""
    if mode is not ColorMode.AUTO:
        return mode is ColorMode.ALWAYS
    if environ.get("NO_COLOR"):
        return False
    if any(environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return stream.isatty() and environ.get("TERM") != "dumb"


def make_console(mode: ColorMode, stream: TextIO, environ: Mapping[str, str]) -> Console:
    """A console that colours by `wants_color` and cuts nothing unless it is a terminal.

    Only the terminal's own 16 colours are used, so its theme decides how they look.
    """
    color = wants_color(mode, stream, environ)
    return Console(
        file=stream,
        theme=THEME,
        color_system="standard" if color else None,
        no_color=not color,
        force_terminal=color,
        force_interactive=False,
        width=None if stream.isatty() else UNLIMITED_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )
