"""The one look of all tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

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
