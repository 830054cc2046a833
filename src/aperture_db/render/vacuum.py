"""The views of `vacuum` and `clean`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType

from aperture_db.clean import CleanReport, CleanResult, DeleteStrategy, KindReport
from aperture_db.format import (
    as_administrator,
    format_bytes,
    format_count,
    format_percent,
    format_seconds,
    plural,
    vacuum_command,
)
from aperture_db.render.console import NOTHING, Advice, Text, dry_run_ending, make_table, unbroken
from aperture_db.vacuum.report import (
    PlannedTable,
    TableResult,
    VacuumMode,
    VacuumOutcome,
    VacuumPlan,
    VacuumReport,
    VacuumStats,
)

# A table without dead rows that took less time is counted in the last lines only.
NOTABLE_SECONDS = 1.0
STYLES = {
    VacuumOutcome.DONE: "",
    VacuumOutcome.SKIPPED: "warning",
    VacuumOutcome.FAILED: "critical",
    VacuumOutcome.GONE: "muted",
}
ACTIONS = {
    VacuumMode.VACUUM: "vacuumed and analyzed",
    VacuumMode.REINDEX_HNSW: "vacuumed and analyzed",
    VacuumMode.FULL: "rewritten and analyzed",
    VacuumMode.ANALYZE: "analyzed",
}


def render_plan(plan: VacuumPlan) -> RenderableType:
    """The planned tables in order, and a summary."""
    table = make_table(
        "table", "dead rows", "share", "size", "action", right=("dead rows", "share", "size")
    )
    for planned in plan.tables:
        table.add_row(
            planned.name,
            _count(planned.before.dead_rows),
            format_percent(planned.dead_share) if planned.before.dead_rows else "",
            _bytes(planned.before.total_bytes),
            _action(planned, plan.mode),
        )
    doable = [planned for planned in plan.tables if planned.may_vacuum]
    total = sum(planned.before.total_bytes or 0 for planned in doable)
    count = plural(len(doable), "table")
    summary = Text(f"{count}, {format_bytes(total)}, would be {ACTIONS[plan.mode]}.")
    listed: list[RenderableType] = [table, Text()] if plan.tables else []
    return Group(*listed, summary, *_up_to_date(plan.up_to_date_tables), *render_offers(plan))


def _up_to_date(count: int) -> Iterator[Text]:
    """The number of skipped tables, if there are any."""
    if count:
        has = "table has" if count == 1 else "tables have"
        yield Text(f"{count:,} {has} not changed since the last run; --all includes them.")


def render_offers(plan: VacuumPlan) -> Iterator[RenderableType]:
    """The hint that --reindex-hnsw is faster, for tables with an HNSW index and many dead rows."""
    for table in plan.tables:
        if table.name in plan.offers:
            share = format_percent(table.dead_share)
            yield Text(
                f"hint: {share} of {table.name} is dead, and VACUUM is slow on its HNSW index",
                style="info",
            )
            yield unbroken(f"next: {vacuum_command([table.name], '--reindex-hnsw')}")


def _action(table: PlannedTable, mode: VacuumMode) -> Text:
    if not table.may_vacuum:
        return Text(f"would be skipped: it belongs to {table.owner}", style="warning")
    if table.held_by:
        return Text(f"would wait: held by pid {table.held_by[0].pid}", style="warning")
    actions = {
        VacuumMode.VACUUM: "vacuum, analyze",
        VacuumMode.REINDEX_HNSW: "vacuum, analyze",
        VacuumMode.FULL: "rewrite, analyze",
        VacuumMode.ANALYZE: "analyze",
    }
    if table.rebuilds:
        return Text(f"rebuild {', '.join(i.name for i in table.rebuilds)}, {actions[mode]}")
    return Text(actions[mode])


def render_report(report: VacuumReport) -> RenderableType:
    """Every notable table before and after, and the sum."""
    notable = [result for result in report.results if _is_notable(result)]
    parts: list[RenderableType] = []
    if notable:
        parts = [_table_of(notable, report), Text()]
    return Group(*parts, Text(summarize(report)), *_up_to_date(report.up_to_date_tables))


def _table_of(results: Sequence[TableResult], report: VacuumReport) -> RenderableType:
    table = make_table(
        ("", "table"),
        ("dead rows", "before"),
        ("dead rows", "after"),
        ("size", "before"),
        ("size", "after"),
        ("", "time"),
        right=("before", "after", "time"),
    )
    for result in results:
        done = result.outcome is VacuumOutcome.DONE
        table.add_row(
            Text(result.name, style=STYLES[result.outcome]),
            _count(result.before.dead_rows),
            _count(result.after.dead_rows) if done else result.outcome.value,
            _bytes(result.before.total_bytes),
            _bytes(result.after.total_bytes) if done else "",
            format_seconds(result.duration_seconds),
        )
    others = len(report.results) - len(results)
    if others or len(results) > 1:
        table.add_section()
        before, after = _sums(report)
        table.add_row(
            Text(f"all {len(report.results)} tables", style="heading"),
            _count(before.dead_rows),
            _count(after.dead_rows),
            _bytes(before.total_bytes),
            _bytes(after.total_bytes),
            format_seconds(report.duration_seconds),
        )
    return table


def _is_notable(result: TableResult) -> bool:
    return (
        result.outcome is not VacuumOutcome.DONE
        or bool(result.before.dead_rows or result.after.dead_rows)
        or result.duration_seconds >= NOTABLE_SECONDS
        or (result.after.total_bytes or 0) < (result.before.total_bytes or 0)
    )


def _sums(report: VacuumReport) -> tuple[VacuumStats, VacuumStats]:
    """Sum all tables before and after; sizes only where both are known."""
    results = report.results
    sized = [
        (result.before.total_bytes, result.after.total_bytes)
        for result in results
        if result.before.total_bytes is not None and result.after.total_bytes is not None
    ]
    return (
        VacuumStats(
            sum(result.before.dead_rows or 0 for result in results),
            sum(before for before, _ in sized) if sized else None,
        ),
        VacuumStats(
            sum(result.after.dead_rows or 0 for result in results),
            sum(after for _, after in sized) if sized else None,
        ),
    )


def summarize(report: VacuumReport) -> str:
    """One line: tables, removed dead rows, returned space, duration."""
    done = [result for result in report.results if result.outcome is VacuumOutcome.DONE]
    before, after = _sums(report)
    removed_rows = (before.dead_rows or 0) - (after.dead_rows or 0)
    freed_bytes = (before.total_bytes or 0) - (after.total_bytes or 0)
    parts = [f"{plural(len(done), 'table')} {ACTIONS[report.mode]}"]
    if rebuilt := sum(len(result.rebuilt_indexes) for result in done):
        parts.append(f"{plural(rebuilt, 'HNSW index', 'HNSW indexes')} rebuilt")
    if report.mode is not VacuumMode.ANALYZE:
        parts.append(f"{plural(max(0, removed_rows), 'dead row')} removed")
        if freed_bytes > 0:
            parts.append(f"{format_bytes(freed_bytes)} returned to the disk")
    if report.problems:
        parts.append(f"{len(report.problems)} skipped or failed")
    return f"{', '.join(parts)}, in {format_seconds(report.duration_seconds)}."


def describe_result(result: TableResult) -> str:
    """One line about a finished table."""
    duration = format_seconds(result.duration_seconds)
    if result.outcome is not VacuumOutcome.DONE:
        return f"{result.name}: {result.outcome}, {result.reason}"
    parts = [*(f"rebuilt {name}" for name in result.rebuilt_indexes)]
    if result.before.dead_rows is not None and result.after.dead_rows is not None:
        parts.append(f"dead rows {result.before.dead_rows:,} to {result.after.dead_rows:,}")
    parts.append(f"{_bytes(result.before.total_bytes)} to {_bytes(result.after.total_bytes)}")
    return f"{result.name}: {', '.join(parts)}, {duration}"


def _count(count: int | None) -> str:
    return NOTHING if count is None else format_count(count)


def _bytes(size_bytes: int | None) -> str:
    return NOTHING if size_bytes is None else format_bytes(size_bytes)


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


def render_clean_plan(report: CleanReport) -> RenderableType:
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
