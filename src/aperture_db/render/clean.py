"""The views of `clean`."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType

from aperture_db.clean import CleanReport, CleanResult, DeleteStrategy, KindReport
from aperture_db.format import (
    as_administrator,
    format_bytes,
    format_count,
    format_seconds,
    plural,
)
from aperture_db.render.console import NOTHING, Advice, Text, dry_run_ending, make_table, unbroken

NOTHING_TO_DELETE = "Nothing to delete."
NOTHING_SEEN = "Nothing to delete, as far as it can be seen."


def render_clean(report: CleanReport, command: str = "") -> RenderableType:
    """Every kind with its rows and size, warnings, and how to delete: by `command` where the
    kinds are chosen."""
    if report.rows and command:
        return Group(*render_listing(report), *dry_run_ending(command))
    if report.rows:
        last = "Nothing was deleted. To delete: aperture-db clean --apply KIND …"
    else:
        is_blind = any(kind.grant for kind in report.kinds)
        last = NOTHING_SEEN if is_blind else NOTHING_TO_DELETE
    return Group(*render_listing(report), "", Text(last))


def render_plan(report: CleanReport) -> RenderableType:
    """The rows that are about to be deleted."""
    return Group(*render_listing(report), "")


def render_listing(report: CleanReport) -> Iterator[RenderableType]:
    table = make_table("kind", "rows", "size", "description", right=("rows", "size"))
    for kind in report.kinds:
        style = "" if kind.rows else "muted"
        rows = NOTHING if kind.rows is None else format_count(kind.rows)
        table.add_row(kind.kind, rows, _size(kind), kind.description, style=style)
    if len(report.kinds) > 1:
        marked = "" if report.is_size_exact else "~"
        total = marked + format_bytes(report.size_bytes)
        table.add_row("total", format_count(report.rows), total, "", style="heading")
    yield table
    yield from _remarks(report)
    yield from _explained_sizes(report)


def _size(kind: KindReport) -> str:
    if kind.size_bytes is None or not kind.rows:
        return NOTHING
    marked = "" if kind.is_size_exact else "~"
    return marked + format_bytes(kind.size_bytes)


def _remarks(report: CleanReport) -> Iterator[RenderableType]:
    for kind in report.kinds:
        if kind.unknown:
            yield ""
            yield Text(f"{kind.kind}: {kind.unknown}", style="skipped")
        if kind.grant:
            yield Advice("", as_administrator([kind.grant]), "skipped")
        if kind.note:
            yield ""
            yield Text(f"{kind.kind}: {kind.note}", style="warning")


def _explained_sizes(report: CleanReport) -> Iterator[RenderableType]:
    strategies = {part.way for kind in report.kinds for part in kind.tables}
    if strategies:
        yield ""
    if DeleteStrategy.TRUNCATE in strategies:
        yield Text(
            "Exact sizes are of tables that are emptied: the disk gets their space back at once."
        )
    if DeleteStrategy.DELETE in strategies:
        yield Text(
            "Sizes with ~ are the rows' share of their tables: VACUUM makes the space reusable, "
            "VACUUM FULL returns it to the disk."
        )


def render_cleaned(result: CleanResult) -> RenderableType:
    """The deleted rows by kind and table, and the commands that make their space reusable."""
    return Group(*_cleaned_parts(result))


def _cleaned_parts(result: CleanResult) -> Iterator[RenderableType]:
    table = make_table(
        "kind", "table", "deleted", "freed", "reusable",
        right=("deleted", "freed", "reusable"),
    )  # fmt: skip
    for kind in result.kinds:
        for cleaned in kind.tables:
            table.add_row(
                kind.kind,
                cleaned.table,
                format_count(cleaned.rows),
                format_bytes(cleaned.freed_bytes) if cleaned.freed_bytes else NOTHING,
                f"~{format_bytes(cleaned.reusable_bytes)}" if cleaned.reusable_bytes else NOTHING,
            )
    if table.row_count:
        yield table
        yield ""
    if not result.rows:
        yield Text(NOTHING_TO_DELETE)
        return
    seconds = format_seconds(result.duration_seconds)
    freed = format_bytes(result.freed_bytes)
    yield Text(f"Deleted {plural(result.rows, 'row')} in {seconds}; {freed} returned to the disk.")
    if result.next_steps:
        yield Text("To make the rest reusable:")
    for step in result.next_steps:
        yield unbroken(f"  {step}")
