"""Lists: marks on the left, and texts whose further lines hang behind them."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text


@dataclass(frozen=True)
class Item:
    """One item of a list. Unlike a table's cell it leaves no spaces behind its lines."""

    mark: str
    """With the space behind it."""
    text: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(options.max_width - len(self.mark), 1)
        mark = self.mark
        for line in self.text.wrap(console, width):
            line.rstrip()
            yield Text.assemble(mark, line)
            mark = " " * len(self.mark)
