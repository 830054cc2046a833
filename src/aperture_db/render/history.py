"""The table of `stats --history`: the change of every number, with a sparkline."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.text import Text

from aperture_db.format import format_bytes, format_count, format_time, plural
from aperture_db.render.console import NOTHING, make_table
from aperture_db.render.stats import SHOWN_COUNTS
from aperture_db.stats.history import Growth, GrowthUnit, History

CHART_WIDTH = 16
BARS = "▁▂▃▄▅▆▇█"
# For terminals without the block characters.
ASCII_BARS = "_.-~=+*#"
HEADERS = {GrowthUnit.BYTES: "size", GrowthUnit.ROWS: "rows"}
WHOLES = ("database", "tables", "indexes")
NUMBERS = ("first", "last", "change", "per day")


def render_history(history: History) -> RenderableType:
    """Sizes, then rows; without two samples, how to get them."""
    samples = history.samples
    if not samples:
        return Text(
            "No samples are recorded yet.\n"
            "next: aperture-db stats --record, for example daily from cron"
        )
    first, last = samples[0].sampled_at, samples[-1].sampled_at
    if len(samples) == 1:
        return Text(
            f"One sample is recorded, of {format_time(first)}; growth needs two.\n"
            "next: aperture-db stats --record, for example daily from cron"
        )
    parts: list[RenderableType] = [
        Text(
            f"{plural(len(samples), 'sample')}, {format_time(first)} to {format_time(last)}",
            style="muted",
        )
    ]
    for unit in GrowthUnit:
        growth = [
            item
            for item in history.growth
            if item.unit is unit and (unit is GrowthUnit.BYTES or item.metric in SHOWN_COUNTS)
        ]
        parts += ["", _table(unit, growth)]
    return Group(*parts)


def _table(unit: GrowthUnit, growth: Sequence[Growth]) -> RenderableType:
    table = make_table(HEADERS[unit], *NUMBERS, "trend", right=NUMBERS)
    for item in growth:
        table.add_row(
            _label(item),
            _number(item.first, item),
            _number(item.last, item),
            _signed(item.change, item),
            NOTHING if item.per_day is None else _signed(round(item.per_day), item),
            Sparkline(item.values),
        )
    return table


def _label(growth: Growth) -> str:
    """Kinds of data are parts of the tables and indexes above them."""
    is_part = growth.unit is GrowthUnit.BYTES and growth.metric not in WHOLES
    return f"{'  ' if is_part else ''}{growth.metric.replace('_', ' ')}"


def _number(number: int, growth: Growth) -> str:
    if growth.unit is GrowthUnit.BYTES:
        return format_bytes(number)
    return format_count(number, exact=growth.is_exact)


def _signed(change: int, growth: Growth) -> Text:
    if change == 0:
        return Text("0", style="muted")
    return Text(f"{'+' if change > 0 else '-'}{_number(abs(change), growth)}")


class Sparkline:
    """Numbers as a row of bars, the lowest to the highest of them; one bar per number, or the
    last number of each of CHART_WIDTH equal parts."""

    def __init__(self, values: Sequence[int]) -> None:
        parts = min(len(values), CHART_WIDTH)
        ends = [len(values) * (part + 1) // parts - 1 for part in range(parts)]
        self.values = [values[end] for end in ends]

    def __rich_measure__(self, _console: Console, _options: ConsoleOptions) -> Measurement:
        return Measurement(len(self.values), len(self.values))

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        bars = ASCII_BARS if options.ascii_only else BARS
        low, high = min(self.values), max(self.values)
        steps = [
            (value - low) * (len(bars) - 1) // (high - low) if high > low else 0
            for value in self.values
        ]
        yield Text("".join(bars[step] for step in steps), style="info", end="")
