"""Lines of text with a rule of their own."""

from __future__ import annotations

from rich.text import Text


def unbroken(text: str, style: str = "") -> Text:
    """A line that stays one when it is copied, however narrow the terminal: commands, paths."""
    return Text(text, style=style, no_wrap=True, overflow="ignore")
