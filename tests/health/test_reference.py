"""docs/health.md lists every check as it is. `pytest --update-snapshots` rewrites the list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from aperture_db.format import format_bytes
from aperture_db.health.check import Check
from aperture_db.health.checks import CHECKS
from aperture_db.health.report import Area, Thresholds, Unit

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "health.md"
BEGIN, END = "<!-- checks -->\n", "<!-- end of checks -->\n"


def reference() -> str:
    return "\n".join(line for area in Area for line in _section(area)) + "\n"


def _section(area: Area) -> Iterator[str]:
    yield f"\n### {area.capitalize()}\n"
    yield "| check | description | warning | critical | source |"
    yield "| --- | --- | --- | --- | --- |"
    for check in CHECKS:
        if check.area is area:
            yield f"| {' | '.join(_cells(check))} |"


def _cells(check: Check) -> Iterator[str]:
    yield f"`{check.id}`"
    yield check.about
    for limit in ("warning", "critical"):
        yield _limit(check.thresholds, limit) if check.thresholds else ""
    yield check.source


def _limit(thresholds: Thresholds, which: str) -> str:
    value = getattr(thresholds, which)
    if value is None:
        return ""
    match thresholds.unit:
        case Unit.SECONDS:
            text = _duration(value)
        case Unit.BYTES:
            text = format_bytes(round(value))
        case Unit.PERCENT:
            text = f"{value:g} %"
        case Unit.COUNT:
            text = f"{value:,.0f}"
    return f"< {text}" if thresholds.is_low_bad else text


def _duration(seconds: float) -> str:
    """In the largest unit that leaves no fraction, as --warn takes it."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds * 1000:g} ms"


def test_the_reference_is_that_of_the_registry(request: pytest.FixtureRequest) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    listed, _, after = rest.partition(END)
    if request.config.getoption("--update-snapshots"):
        DOCUMENT.write_text(f"{before}{BEGIN}{reference()}{END}{after}", encoding="utf-8")
        return
    assert listed == reference()


def test_the_comparison_names_checks_that_exist() -> None:
    """Ids have a hyphen, or stand alone in the second column."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("## Compared with other programs")[2]
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    named = {
        name
        for row in rows
        for name in re.findall(r"`([^`]+)`", row[1])
        if re.fullmatch(r"[a-z]+(-[a-z]+)*", name) and name not in {"vacuum", "report", "health"}
    }
    assert named - {check.id for check in CHECKS} == {"stats"}
    assert all(row[1].strip(" |") for row in rows)


def test_every_check_has_a_description_and_a_source() -> None:
    for check in CHECKS:
        assert check.about.endswith("."), check.id
        assert check.source, check.id
        assert not check.source.endswith("."), check.id
        assert "|" not in check.about + check.source, check.id
