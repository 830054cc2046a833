"""The report as one HTML page: no script, no reference to anything outside, light and dark.

Pictures are SVG by pygal without its scripts and styles; the page's own style colours them, so
they follow the scheme. Needs the extra `report`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from statistics import linear_regression
from xml.etree import ElementTree

import jinja2
import pygal
from markupsafe import Markup

from aperture_db.format import (
    format_bytes,
    format_count,
    format_percent,
    format_seconds,
    format_time,
    pasteable,
    plural,
    visible,
)
from aperture_db.health.report import Area, HealthReport, Status, Verdict
from aperture_db.migrations import State
from aperture_db.render.stats import SHOWN_COUNTS, format_rows
from aperture_db.report.report import DatabaseReport
from aperture_db.stats.history import Growth, GrowthUnit, History
from aperture_db.stats.report import Count, Coverage, StatsReport

# pygal's hook for plugins is of a kind that Python warns about, at every import that fails.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]

TEMPLATE = "report.html.j2"
CHART_WIDTH, CHART_HEIGHT = 320, 96
RING_SIZE = 220
# Of what pygal draws the shapes are kept, without the groups that its scripts need.
SHAPES = ("g", "path", "rect")
SCRIPTED_GROUPS = {"text-overlay", "tooltip-overlay", "titles"}
VERDICTS = {
    Verdict.OK: "Healthy",
    Verdict.WARNING: "Needs attention",
    Verdict.CRITICAL: "Not healthy",
    Verdict.UNKNOWN: "Partly unknown",
}
REMARKS = {
    "users": "users_enabled",
    "movies": "movies_in_libraries",
    "series": "series_in_libraries",
}


@dataclass(frozen=True)
class Slice:
    """A part of the storage."""

    name: str
    size_bytes: int
    share: float


@dataclass(frozen=True)
class Chart:
    """The growth of one number, as lines: its values, and their trend."""

    growth: Growth
    title: str
    picture: Markup


def render_report(report: DatabaseReport) -> str:
    """The page, which ends with a line feed."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "breakable": _breakable,
        "bytes": format_bytes,
        "count": format_count,
        "pasteable": pasteable,
        "percent": format_percent,
        "rows": format_rows,
        "seconds": format_seconds,
        "signed": _signed,
        "time": format_time,
        "words": lambda name: name.replace("_", " "),
    }
    text = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    storage = _slices(report.stats.storage.group_bytes)
    return environment.from_string(text).render(
        report=report,
        plural=plural,
        State=State,
        areas=list(_areas(report.health)),
        verdict=VERDICTS[report.health.verdict],
        summary=_summary(report.health),
        notes=list(report.health.with_status(Status.INFO)),
        counts=list(_counts(report.stats)),
        coverage=[(item, _share(item)) for item in report.stats.coverage],
        slices=storage,
        ring=_ring(storage),
        charts=list(_charts(report.history)) if report.history else [],
    )


def _areas(health: HealthReport) -> Iterator[tuple[Area, list[object]]]:
    for area in Area:
        checks: list[object] = [check for check in health.checks if check.area is area]
        if checks:
            yield area, checks


def _summary(health: HealthReport) -> str:
    shown = (
        (Status.CRITICAL, "critical"), (Status.WARNING, "warning"), (Status.OK, "ok"),
        (Status.INFO, "info"), (Status.SKIPPED, "skipped"),
    )  # fmt: skip
    counted = ((health.counts[status], word) for status, word in shown)
    return ", ".join(f"{count} {word}" for count, word in counted if count)


def _counts(stats: StatsReport) -> Iterator[tuple[str, Count, str]]:
    """Name, count and remark of each number of the overview."""
    for name in SHOWN_COUNTS:
        count: Count = getattr(stats.overview, name)
        part: Count | None = getattr(stats.overview, REMARKS[name]) if name in REMARKS else None
        remark = ""
        if part and part.rows is not None and part.rows != count.rows:
            what = "enabled" if name == "users" else "in enabled libraries"
            remark = f"{format_rows(part)} {what}"
        yield name, count, remark


def _share(item: Coverage) -> float | None:
    if item.present is None or not item.expected:
        return None
    return min(item.present / item.expected, 1.0)


def _slices(group_bytes: Mapping[str, int]) -> list[Slice]:
    total = sum(group_bytes.values())
    return [Slice(name, size, size / total) for name, size in group_bytes.items() if size]


def _ring(slices: Sequence[Slice]) -> Markup:
    chart = pygal.Pie(inner_radius=0.62, width=RING_SIZE, height=RING_SIZE, **_plain_chart())
    for part in slices:
        chart.add(part.name, part.size_bytes)
    return _inline(chart)


def _charts(history: History) -> Iterator[Chart]:
    """The database's size, and the counts of the overview that were sampled twice or more."""
    for growth in history.growth:
        is_size = growth.unit is GrowthUnit.BYTES and growth.metric == "database"
        if is_size or (growth.unit is GrowthUnit.ROWS and growth.metric in SHOWN_COUNTS):
            title = "database size" if is_size else growth.metric.replace("_", " ")
            yield Chart(growth, title, _lines(_values(growth, history)))


def _values(growth: Growth, history: History) -> list[tuple[datetime, int]]:
    if growth.unit is GrowthUnit.BYTES:
        found = [(sample.sampled_at, sample.database_bytes) for sample in history.samples]
    else:
        found = [
            (sample.sampled_at, sample.counts.get(growth.metric)) for sample in history.samples
        ]
    return [(moment, value) for moment, value in found if value is not None]


def _lines(values: Sequence[tuple[datetime, int]]) -> Markup:
    """The values with the area below them, and their linear trend."""
    trend = _trend(values)
    numbers = [value for _, value in (*values, *trend)]
    low, high = min(numbers), max(numbers)
    margin = (high - low) * 0.1 or 1
    chart = pygal.DateTimeLine(
        width=CHART_WIDTH,
        height=CHART_HEIGHT,
        show_dots=False,
        range=(low - margin, high + margin),
        zero=low - margin,
        **_plain_chart(),
    )
    # An area is closed, and so would be a line around it.
    chart.add("area", values, fill=True)
    chart.add("values", values)
    chart.add("trend", trend)
    return _inline(chart)


def _trend(values: Sequence[tuple[datetime, int]]) -> list[tuple[datetime, float]]:
    """Both ends of the line that fits best."""
    seconds = [moment.timestamp() for moment, _ in values]
    if seconds[0] == seconds[-1]:
        return []
    slope, intercept = linear_regression(
        [each - seconds[0] for each in seconds], [value for _, value in values]
    )
    return [
        (moment, intercept + slope * (moment.timestamp() - seconds[0]))
        for moment in (values[0][0], values[-1][0])
    ]


def _plain_chart() -> dict[str, object]:
    """Options of a chart that is nothing but its picture: the page has the words."""
    return {
        "margin": 2,
        "spacing": 0,
        "show_legend": False,
        "show_x_labels": False,
        "show_y_labels": False,
        "show_x_guides": False,
        "show_y_guides": False,
        "js": (),
        "css": (),
        "print_values": False,
    }


def _inline(chart: pygal.Graph) -> Markup:
    """The chart as SVG without scripts and styles, which the page neither needs nor allows."""
    root = chart.render_tree()
    _strip(root)
    root.attrib.pop("id", None)
    root.set("aria-hidden", "true")
    text = ElementTree.tostring(root, encoding="unicode")
    # Inside HTML no name space is needed, and nothing shall look like a reference.
    return Markup(text.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1))  # noqa: S704


def _strip(element: ElementTree.Element) -> None:
    for child in list(element):
        is_shape = str(child.tag).rpartition("}")[2] in SHAPES
        if is_shape and SCRIPTED_GROUPS.isdisjoint(child.get("class", "").split()):
            _strip(child)
        else:
            element.remove(child)


def _signed(change: float, growth: Growth) -> str:
    if growth.unit is GrowthUnit.ROWS and 0 < abs(change) < 9.95:
        return f"{change:+.1f}".removesuffix(".0")
    whole = round(change)
    number = format_bytes(abs(whole)) if growth.unit is GrowthUnit.BYTES else f"{abs(whole):,}"
    return f"{'+' if whole > 0 else '-' if whole else ''}{number}"


def _breakable(name: str) -> Markup:
    """A long name that may be broken after its underscores."""
    return Markup("_<wbr>").join(visible(name).split("_"))


def _finalize(value: object) -> object:
    """The last step for each value of the page."""
    return visible(value) if type(value) is str else value
