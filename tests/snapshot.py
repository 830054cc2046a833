"""Texts that the tool prints, kept as files in tests/snapshots and read in review.

`pytest --update-snapshots` writes them anew.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from aperture_db.render.console import THEME

DIRECTORY = Path(__file__).with_name("snapshots")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-snapshots", action="store_true", help="write tests/snapshots anew")


@pytest.fixture
def snapshot(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`snapshot("stats/tables", text)` compares `text` with tests/snapshots/stats/tables.txt."""
    update = bool(request.config.getoption("--update-snapshots"))

    def compare(name: str, text: str) -> None:
        file = DIRECTORY / f"{name}.txt"
        if update:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            return
        assert file.exists(), f"no {file}; write it with: pytest --update-snapshots"
        assert text == file.read_text(encoding="utf-8"), (
            f"{file} differs; if the new text is right: pytest --update-snapshots"
        )

    return compare


def rendered(renderable: RenderableType, width: int = 80) -> str:
    """A table as a terminal of that width shows it, without colour and trailing spaces."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, theme=THEME, color_system=None, highlight=False, markup=False,
        emoji=False, legacy_windows=False,
    )  # fmt: skip
    console.print(renderable)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"
