"""The one look of tables, lists and lines to copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

NOTHING = "-"


def make_table(*columns: str, right: Sequence[str] = ()) -> Table:
    """An empty table with these columns, of which `right` hold numbers.

    At a terminal that is too narrow texts wrap; nothing is ever cut, and numbers stay whole.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="table.header")
    for column in columns:
        is_number = column in right
        table.add_column(
            column,
            justify="right" if is_number else "left",
            no_wrap=is_number,
            overflow="fold",
        )
    return table


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


def unbroken(text: str, style: str = "") -> Text:
    """A line that stays one when it is copied, however narrow the terminal: commands, paths."""
    return Text(text, style=style, no_wrap=True, overflow="ignore")
