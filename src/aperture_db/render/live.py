"""A view that is shown again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from aperture_db.format import plural
from aperture_db.render.console import QuittingConsole

Show = Callable[[RenderableType], None]


@contextmanager
def refreshed_view(console: QuittingConsole, *, in_place: bool) -> Iterator[Show]:
    """Give the block a function that shows a view instead of the one before.

    `in_place`: on the terminal's alternate screen, cut to its height; the last view is printed
    when the block ends. Otherwise each view is printed below the one before.
    """
    shown: list[RenderableType] = []
    if not in_place:
        yield lambda view: _print_below(console, view, shown)
        return
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            yield lambda view: _replace(live, view, shown)
    finally:
        for view in shown:
            console.print_result(view)


def _print_below(
    console: QuittingConsole, view: RenderableType, shown: list[RenderableType]
) -> None:
    if shown:
        console.print()
    shown[:] = [view]
    console.print_result(view)


def _replace(live: Live, view: RenderableType, shown: list[RenderableType]) -> None:
    shown[:] = [view]
    live.update(_CutToHeight(view), refresh=True)


@dataclass(frozen=True)
class _CutToHeight:
    """As much of a view as the screen holds, and a line that says how much does not fit."""

    view: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.height
        lines = console.render_lines(self.view, options.update(height=None), pad=False)
        hidden = len(lines) - height
        if hidden > 0:
            lines = lines[: height - 1]
        for line in lines:
            yield from line
            yield Segment.line()
        if hidden > 0:
            yield Text(f"… {plural(hidden + 1, 'line')} more than fit here", style="muted", end="")
