"""The views of `stats`: the overview, `--tables`, hints, and `--history` with its sparklines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from aperture_db.format import format_bytes, format_count, format_percent, format_time, plural
from aperture_db.render.console import NOTHING, Advice, Sparkline, Text, TwoColumns, make_table
from aperture_db.stats.history import Growth, GrowthUnit, History
from aperture_db.stats.report import (
    Count,
    Coverage,
    DatabaseFacts,
    Embeddings,
    EmbeddingState,
    Hint,
    Overview,
    StatsReport,
    Storage,
    TablesReport,
    TableStats,
    TableTotals,
    Unknown,
)

UNKNOWN_WORDS = {
    Unknown.ABSENT: NOTHING,
    Unknown.NO_PRIVILEGE: "no privilege",
    Unknown.HIDDEN: "hidden",
    Unknown.LOCKED: "locked",
    Unknown.NOT_ANALYZED: "no estimate",
    Unknown.NOT_COUNTED: "not counted",
    Unknown.ELSEWHERE: "elsewhere",
}
STATE_STYLES = {
    EmbeddingState.ACTIVE: "ok",
    EmbeddingState.STALE: "warning",
    EmbeddingState.LEGACY: "warning",
    EmbeddingState.UNKNOWN: "muted",
}
SHOWN_COUNTS = (
    "movies", "series", "episodes", "users", "embeddings", "ratings", "watch_history",
    "recommendations", "taste_profiles", "conversations", "messages",
)  # fmt: skip
TABLE_NUMBERS = ("rows", "heap", "indexes", "TOAST", "total", "dead")
LABEL_WIDTH = 18
NUMBER_WIDTH = 11


def render_stats(report: StatsReport, earlier: StatsReport | None = None) -> RenderableType:
    """Everything, section by section; sections without content are left out.

    Counts that differ from those of an `earlier` report say by how much.
    """
    library, storage, embeddings, completeness = _sections(report, earlier)
    hints = [render_hints(report.hints)] if report.hints else []
    facts = render_facts(report.database)
    return Group(
        *_with_blank_lines([facts, *library, *storage, *embeddings, *completeness, *hints])
    )


def render_watched(report: StatsReport, earlier: StatsReport) -> RenderableType:
    """The same with a verdict and the hints first, which stay visible on a low screen."""
    library, storage, embeddings, completeness = _sections(report, earlier)
    findings = sum(hint.is_finding for hint in report.hints)
    verdict = Text("Nothing is known to be missing", style="ok")
    if findings:
        verdict = Text(f"Needs attention: {plural(findings, 'hint')}", style="warning")
    first: list[RenderableType] = [Group(verdict, render_facts(report.database))]
    first += [render_hints(report.hints)] if report.hints else []
    columns = TwoColumns(
        Group(*_with_blank_lines([*library, *completeness])),
        Group(*_with_blank_lines([*storage, *embeddings])),
    )
    return Group(*_with_blank_lines([*first, columns]))


def _sections(report: StatsReport, earlier: StatsReport | None) -> tuple[list[RenderableType], ...]:
    """Library, storage, embeddings, completeness; each with one part, or none."""
    return (
        [_section("Library", _overview(report, earlier))] if report.database.is_aperture else [],
        [_section("Storage", _storage(report.storage))],
        [_section("Embeddings", *_embeddings(report.embeddings))]
        if report.embeddings.sets or report.embeddings.active_model
        else [],
        [_section("Completeness", _coverage(report.coverage))]
        if any(item.expected or item.present for item in report.coverage)
        else [],
    )


def render_tables(report: TablesReport) -> RenderableType:
    """Every table, the largest first, and their sum."""
    table = make_table("table", *TABLE_NUMBERS, right=TABLE_NUMBERS)
    for stats in report.tables:
        table.add_row(_table_name(stats), *_table_numbers(stats))
    total = report.total
    rows, *sizes = _table_numbers(total)
    if not total.is_complete:
        rows.append("+")
    table.add_row(plural(total.tables, "table"), rows, *sizes, style="heading")
    parts: list[RenderableType] = [render_facts(report.database), "", table]
    if report.hints:
        parts += ["", render_hints(report.hints)]
    return Group(*parts)


def render_hints(hints: tuple[Hint, ...]) -> RenderableType:
    """Each hint as three lines: the conclusion, its cause and the next step."""
    lines: list[RenderableType] = []
    for hint in hints:
        style = "warning" if hint.is_finding else "info"
        lines += [
            Advice("hint:   ", hint.message, style),
            Advice("  why:  ", hint.cause),
            Advice("  next: ", hint.next),
        ]
    return Group(*lines)


def render_facts(facts: DatabaseFacts) -> Text:
    """One line: which database, which server, how far its migrations are, and when it was read."""
    parts = [facts.name, f"PostgreSQL {facts.server_version}"]
    if facts.is_standby:
        parts.append("standby")
    if facts.newest_migration:
        parts.append(f"migration {facts.newest_migration.partition('_')[0]}")
    parts.append(format_time(facts.read_at))
    return Text(" · ".join(parts), style="muted")


def format_rows(count: Count) -> str:
    if count.rows is None:
        return UNKNOWN_WORDS[count.unknown] if count.unknown else NOTHING
    return format_count(count.rows, exact=count.exact)


def _section(title: str, *parts: RenderableType) -> RenderableType:
    return Group(Text(title, style="heading"), *parts)


def _with_blank_lines(sections: list[RenderableType]) -> Iterator[RenderableType]:
    for number, section in enumerate(sections):
        if number:
            yield ""
        yield section


def _list_grid() -> Table:
    """Label, number and remark."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=LABEL_WIDTH, no_wrap=True)
    grid.add_column(min_width=NUMBER_WIDTH, justify="right", no_wrap=True)
    grid.add_column(style="muted", overflow="fold")
    return grid


def _overview(report: StatsReport, earlier: StatsReport | None) -> RenderableType:
    grid = _list_grid()
    overview = report.overview
    remarks = {
        "movies": _outside(overview.movies, overview.movies_in_libraries),
        "series": _outside(overview.series, overview.series_in_libraries),
        "users": _enabled(overview),
        "embeddings": _embedding_states(report.embeddings),
        "recommendations": _candidates(overview),
    }
    for field in SHOWN_COUNTS:
        count: Count = getattr(overview, field)
        before = getattr(earlier.overview, field) if earlier else count
        remark = ", ".join(filter(None, [_change(before, count), remarks.get(field)]))
        if count.unknown is Unknown.ABSENT:
            remark = "no such table"
        grid.add_row(f"  {field.replace('_', ' ')}", _count_text(count), remark)
    return grid


def _change(before: Count, now: Count) -> str:
    if before.rows is None or now.rows is None or before.rows == now.rows:
        return ""
    return f"{now.rows - before.rows:+,} since the start"


def _count_text(count: Count) -> Text:
    style = "muted" if count.rows is None else ""
    if count.unknown in (Unknown.HIDDEN, Unknown.NO_PRIVILEGE, Unknown.LOCKED):
        style = "warning"
    return Text(format_rows(count), style=style)


def _outside(all_rows: Count, in_libraries: Count) -> str:
    outside = (all_rows.rows or 0) - (in_libraries.rows or 0)
    if in_libraries.rows is None or outside <= 0:
        return ""
    return f"{format_count(outside)} of them outside the enabled libraries"


def _enabled(overview: Overview) -> str:
    if not overview.users.rows or overview.users_enabled.rows is None:
        return ""
    return f"{format_rows(overview.users_enabled)} of them enabled"


def _embedding_states(embeddings: Embeddings) -> str:
    parts = []
    for state in (EmbeddingState.ACTIVE, EmbeddingState.STALE, EmbeddingState.LEGACY):
        counts = [item.count for item in embeddings.sets if item.state is state]
        rows = sum(count.rows or 0 for count in counts)
        if rows:
            exact = all(count.exact for count in counts)
            parts.append(f"{format_count(rows, exact=exact)} {state}")
    return ", ".join(parts)


def _candidates(overview: Overview) -> str:
    if not overview.recommendation_candidates.rows:
        return ""
    return (
        f"newest runs; {format_rows(overview.recommendation_candidates)} candidates "
        f"in {format_rows(overview.recommendation_runs)} runs"
    )


def _storage(storage: Storage) -> RenderableType:
    grid = _list_grid()
    database = storage.database_bytes
    size = Text("no privilege", "warning") if database is None else Text(format_bytes(database))
    grid.add_row("  database", size, "with the system catalogs")
    grid.add_row("  tables", format_bytes(storage.table_bytes), "heap and TOAST")
    grid.add_row("  indexes", format_bytes(storage.index_bytes), "")
    if storage.embeddings_bytes:
        grid.add_row(
            "  embeddings",
            format_bytes(storage.embeddings_bytes),
            "embedding tables and their indexes",
        )
        for label, size_bytes in (
            ("heap", storage.embeddings_heap_bytes),
            ("TOAST", storage.embeddings_toast_bytes),
            ("vector indexes", storage.embeddings_vector_index_bytes),
            ("other indexes", storage.embeddings_other_index_bytes),
        ):
            grid.add_row(f"    {label}", format_bytes(size_bytes), "")
    return grid


def _embeddings(embeddings: Embeddings) -> Iterator[RenderableType]:
    yield Text(f"  {_active_model(embeddings)}", style="muted")
    if not embeddings.sets:
        return
    table = make_table(
        "  kind", "dimensions", "model", "rows", "state", right=("dimensions", "rows")
    )
    for item in embeddings.sets:
        table.add_row(
            f"  {item.media}",
            str(item.dimension or NOTHING),
            item.model or NOTHING,
            format_rows(item.count),
            Text(item.state, style=STATE_STYLES[item.state]),
        )
    yield table


def _active_model(embeddings: Embeddings) -> str:
    if embeddings.active_model is None:
        known = "no model is configured" if embeddings.is_model_missing else "unknown"
        return f"active model: {known}"
    dimension = embeddings.active_dimension
    dimensions = f"{dimension} dimensions" if dimension else "dimensions unknown"
    return f"active model: {embeddings.active_model}, {dimensions}"


def _coverage(coverage: tuple[Coverage, ...]) -> RenderableType:
    table = make_table(
        "  ", "present", "expected", "share", "remark", right=("present", "expected", "share")
    )
    for item in coverage:
        table.add_row(
            f"  {item.subject}",
            NOTHING if item.present is None else format_count(item.present),
            "unknown" if item.expected is None else format_count(item.expected),
            _share(item),
            Text(_coverage_remark(item), style="muted"),
        )
    return table


def _share(item: Coverage) -> Text:
    if item.present is None or not item.expected:
        return Text(NOTHING, style="muted")
    share = min(item.present / item.expected, 1.0)
    return Text(format_percent(share), style="ok" if not item.missing else "warning")


def _coverage_remark(item: Coverage) -> str:
    if item.unknown:
        return item.unknown
    return f"synced {format_time(item.as_of)}" if item.as_of else ""


def _table_name(stats: TableStats) -> Text:
    """Tables that are not Aperture's carry their schema."""
    if stats.group is not None:
        return Text(stats.name)
    return Text(f"{stats.schema}.{stats.name}", style="muted")


def _table_numbers(stats: TableStats | TableTotals) -> list[Text]:
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


HEADERS = {GrowthUnit.BYTES: "size", GrowthUnit.ROWS: "rows"}
WHOLES = ("database", "tables", "indexes")
MORE_SAMPLES = "next: aperture-db stats --record, for example daily from cron"
NUMBERS = ("first", "last", "change", "per day")


def render_history(history: History) -> RenderableType:
    """Sizes, then rows; without two samples, how to get them."""
    samples = history.samples
    if not samples:
        return Group("No samples are recorded yet.", MORE_SAMPLES)
    first, last = samples[0].sampled_at, samples[-1].sampled_at
    if len(samples) == 1:
        return Group(
            f"One sample is recorded, of {format_time(first)}; growth needs two.", MORE_SAMPLES
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
