"""The texts, exactly, at 80 columns."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from aperture_db.render.console import THEME
from aperture_db.render.stats import render_history, render_stats, render_tables, render_watched
from aperture_db.stats.history import History
from aperture_db.stats.report import (
    Count,
    Embeddings,
    Overview,
    StatsReport,
    Unknown,
    unknown_count,
)
from tests.snapshot import rendered
from tests.stats.reports import FACTS, FULL, STORAGE, TABLES, history

Snapshot = Callable[[str, str], None]

NOTHING_THERE = Overview(**{name: unknown_count(Unknown.ABSENT) for name in vars(FULL.overview)})
NO_EMBEDDINGS = Embeddings(None, None, is_model_missing=False, sets=())
EMPTY = StatsReport(
    replace(FACTS, is_aperture=False, newest_migration=None, migrations_applied=None),
    NOTHING_THERE,
    replace(STORAGE, database_bytes=8_000_000, table_bytes=0, index_bytes=0, embeddings_bytes=0),
    NO_EMBEDDINGS,
    (),
    (
        replace(
            FULL.hints[0],
            message="this is not Aperture's database yet",
            cause="aperture is empty",
            next="aperture-db migrate",
        ),
    ),
    is_exact=True,
)
DENIED = replace(
    FULL,
    database=replace(FACTS, is_standby=True),
    overview=replace(
        FULL.overview,
        movies=unknown_count(Unknown.NO_PRIVILEGE),
        users=unknown_count(Unknown.LOCKED),
        series=Count(1_000, exact=False),
        episodes=unknown_count(Unknown.NOT_ANALYZED),
        taste_profiles=unknown_count(Unknown.ABSENT),
    ),
    storage=replace(STORAGE, database_bytes=None),
    embeddings=replace(NO_EMBEDDINGS, is_model_missing=True),
    coverage=(),
    hints=(),
)
LATER = replace(FULL, overview=replace(FULL.overview, movies=Count(19_652), users=Count(11)))


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("overview", render_stats(FULL)),
        ("overview_later", render_stats(LATER, FULL)),
        ("empty_database", render_stats(EMPTY)),
        ("unknown", render_stats(DENIED)),
        ("tables", render_tables(TABLES)),
        ("history", render_history(history())),
        ("no_history", render_history(History((), ()))),
        ("first_sample", render_history(replace(history(), samples=history().samples[:1]))),
    ],
)
def test_at_80_columns(name: str, view: RenderableType, snapshot: Snapshot) -> None:
    text = rendered(view)
    assert max(len(line) for line in text.splitlines()) <= 80
    snapshot(f"stats/{name}", text)


@pytest.mark.parametrize(("width", "columns"), [(119, 1), (120, 2)])
def test_a_watched_view_begins_with_what_is_missing(width: int, columns: int) -> None:
    console = Console(width=width, force_terminal=True, color_system=None, theme=THEME)
    with console.capture() as captured:
        console.print(render_watched(LATER, FULL))
    lines = captured.get().splitlines()
    assert lines[0].startswith("Needs attention: ")
    assert lines[3].startswith("hint: ")
    (heading,) = (line.split() for line in lines if line.startswith("Library"))
    assert heading == ["Library", "Storage"][:columns]
    assert max(map(len, lines)) <= width


def test_sparklines_without_block_characters() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(file=stream, width=80).print(render_history(history()))
    stream.seek(0)
    assert "_" in stream.read()
