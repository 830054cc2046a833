"""The table of `stats --tables`."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from aperture_db.format import format_bytes, format_count, plural
from aperture_db.render.hints import render_hints
from aperture_db.render.stats import format_rows, render_facts
from aperture_db.render.table import NOTHING, make_table
from aperture_db.stats.report import TablesReport, TableStats, TableTotals

NUMBERS = ("rows", "heap", "indexes", "TOAST", "total", "dead")


def render_tables(report: TablesReport) -> RenderableType:
    """Every table, the largest first, and their sum."""
    table = make_table("table", *NUMBERS, right=NUMBERS)
    for stats in report.tables:
        table.add_row(_name(stats), *_numbers(stats))
    total = report.total
    rows, *sizes = _numbers(total)
    if not total.is_complete:
        rows.append("+")
    table.add_row(plural(total.tables, "table"), rows, *sizes, style="heading")
    parts: list[RenderableType] = [render_facts(report.database), "", table]
    if report.hints:
        parts += ["", render_hints(report.hints)]
    return Group(*parts)


def _name(stats: TableStats) -> Text:
    """Tables that are not Aperture's carry their schema."""
    if stats.group is not None:
        return Text(stats.name)
    return Text(f"{stats.schema}.{stats.name}", style="muted")


def _numbers(stats: TableStats | TableTotals) -> list[Text]:
    sizes = (stats.heap_bytes, stats.index_bytes, stats.toast_bytes, stats.total_bytes)
    return [
        _zero_muted(format_rows(stats.count), stats.count.rows),
        *(_zero_muted(NOTHING if size is None else format_bytes(size), size) for size in sizes),
        _zero_muted(
            NOTHING if stats.dead_rows is None else format_count(stats.dead_rows), stats.dead_rows
        ),
    ]


def _zero_muted(text: str, number: int | None) -> Text:
    return Text(text, style="" if number else "muted")
