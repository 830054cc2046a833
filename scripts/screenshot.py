"""Draw what `aperture-db stats` shows at a terminal: docs/images/stats.svg, the README's picture.

From a checkout, with DATABASE_URL set to a demo's database:

    .venv/bin/python -m scripts.screenshot

`pytest tests/test_readme.py` compares the picture with the program, and draws it again with
--update-snapshots.
"""

from __future__ import annotations

import html
import io
import os
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text
from tests.terminal import run_at_terminal

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "stats.svg"
COMMAND = "aperture-db stats"
WIDTH = 80
# Rich asks for a font from the web; a picture in a page can't load it.
WEB_FONT = re.compile(r"@font-face \{.*?\n    \}\n", re.DOTALL)


def draw(shown: str) -> str:
    """The picture of a terminal in which COMMAND printed `shown`, with its ANSI colors."""
    console = Console(file=io.StringIO(), record=True, width=WIDTH)
    console.print(Text(f"$ {COMMAND}", style="bold"))
    console.print(Text.from_ansi(shown.rstrip("\n")), soft_wrap=True)
    picture = console.export_svg(title="aperture-db", theme=MONOKAI, unique_id="stats")
    picture = WEB_FONT.sub("", picture).replace("Fira Code, monospace", "monospace")
    return re.sub(r"[ \t]+$", "", picture, flags=re.MULTILINE)


def text_of(picture: str) -> str:
    """The text of a picture, its cells separated by spaces."""
    cells = re.findall(r"<text [^>]*>(.*?)</text>", picture)
    return html.unescape(" ".join(cells)).replace("\xa0", " ")


def main() -> None:
    """Draw the library in the database that DATABASE_URL names."""
    _, shown = run_at_terminal("stats", conninfo=os.environ["DATABASE_URL"], width=WIDTH)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(shown), encoding="utf-8")


if __name__ == "__main__":
    main()
