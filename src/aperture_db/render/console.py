"""Consoles for stdout and stderr, each with its own answer to colour and width."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from enum import StrEnum
from types import TracebackType
from typing import TextIO

from rich.console import Console, RenderableType
from rich.theme import Theme

# Wide enough that no line is ever wrapped or cut for a pipe or a log.
UNLIMITED_WIDTH = 16_384
MIN_PROSE_WIDTH = 20

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


class OutputClosedError(Exception):
    """Whoever read our output has gone, as `| head` does."""


class QuittingConsole(Console):
    """A console that tells when its reader has gone; rich itself would end the process."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        raise OutputClosedError

    def print_result(self, result: RenderableType) -> None:
        """Print, off a terminal without the spaces that rich fills lines up with.

        Nothing is cropped: a line that must not be broken, a command or a path, may stick out.
        """
        if self.is_terminal:
            self.print(result, crop=False)
            return
        with self.capture() as captured:
            self.print(result, crop=False)
        self.file.write("".join(f"{line.rstrip(' ')}\n" for line in captured.get().splitlines()))
        self.file.flush()

    def print_prose(self, text: str, style: str | None = None, indent: int = 0) -> None:
        """Print a sentence: at a terminal broken between words, with what follows the first line
        indented; elsewhere never broken. A word, such as a path, stays whole."""
        if self.is_terminal:
            text = textwrap.fill(
                text,
                max(self.width, MIN_PROSE_WIDTH),
                subsequent_indent=" " * indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
        self.print(text, style=style, soft_wrap=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write what the block printed; a signal that breaks this off may come after the text is
        out, and rich would write it again with the next print."""
        try:
            super().__exit__(kind, error, traceback)
        except KeyboardInterrupt:
            self.begin_capture()
            self.end_capture()
            raise


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


def make_console(
    mode: ColorMode, stream: TextIO | None, environ: Mapping[str, str]
) -> QuittingConsole:
    """A console that colours by `wants_color` and cuts nothing unless it is a terminal.

    Only the terminal's own 16 colours are used, so its theme decides how they look. `stream` is
    None where the process was started without one.
    """
    stream = stream or io.StringIO()
    color = wants_color(mode, stream, environ)
    terminal = stream.isatty()
    return QuittingConsole(
        file=stream,
        theme=THEME,
        color_system="standard" if color else None,
        no_color=not color,
        # Set, because rich would take FORCE_COLOR for a terminal, and animate in a log.
        force_terminal=terminal,
        force_interactive=terminal and environ.get("TERM") != "dumb",
        width=None if terminal else UNLIMITED_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )
