"""Hints as people read them."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from aperture_db.stats.report import Hint


def render_hints(hints: tuple[Hint, ...]) -> RenderableType:
    """Each hint as three lines: what stands out, why, and what to do."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for hint in hints:
        style = "warning" if hint.is_finding else "info"
        grid.add_row(Text("hint:", style=style), Text(hint.message, style=style))
        grid.add_row("  why:", hint.cause)
        grid.add_row("  next:", hint.next)
    return grid
