"""A view that is shown again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live


@contextmanager
def refreshed_view(
    console: Console, *, in_place: bool
) -> Iterator[Callable[[RenderableType], None]]:
    """Give the block a function that shows a view instead of the one before.

    `in_place`: on the terminal's alternate screen, cut to its height; the last view is printed
    when the block ends. Otherwise each view is printed below the one before.
    """
    shown: list[RenderableType] = []

    if not in_place:

        def show_below(view: RenderableType) -> None:
            if shown:
                console.print()
            shown[:] = [view]
            console.print(view)

        yield show_below
        return

    try:
        with Live(
            console=console, screen=True, auto_refresh=False, vertical_overflow="crop"
        ) as live:

            def show_in_place(view: RenderableType) -> None:
                shown[:] = [view]
                live.update(view, refresh=True)

            yield show_in_place
    finally:
        for view in shown:
            console.print(view)
