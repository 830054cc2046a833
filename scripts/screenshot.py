"""Make the pictures of the documents: docs/images/stats.svg, what `aperture-db stats` shows at a
terminal, and docs/images/report.png, the page of `aperture-db report` in Chromium.

From a checkout, with DATABASE_URL set to a demo's database:

    .venv/bin/python -m scripts.screenshot

`pytest tests/test_readme.py` compares the first picture with the program, and draws it again with
--update-snapshots.
"""

from __future__ import annotations

import html
import io
import os
import re
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text
from tests import cli
from tests.report import browser
from tests.terminal import run_at_terminal

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "stats.svg"
REPORT_PICTURE = PICTURE.with_name("report.png")
REPORT_SIZE = "1000,1300"
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


def photograph_report(conninfo: str) -> None:
    """Show the top of the report in Chromium, as wide as a page of text, and save the picture."""
    with tempfile.TemporaryDirectory() as directory:
        page = Path(directory) / "report.html"
        subprocess.run(
            [*cli.COMMAND, "report", "--quiet", f"--output={page}"],
            env=cli.environment(conninfo),
            check=True,
        )
        subprocess.run(
            [
                str(browser.PROGRAM), *browser.OPTIONS, f"--user-data-dir={directory}/profile",
                f"--window-size={REPORT_SIZE}", f"--screenshot={REPORT_PICTURE}", page.as_uri(),
            ],
            env={"HOME": directory, "PATH": "/usr/bin:/bin"},
            check=True,
        )  # fmt: skip


def main() -> None:
    """Show the library in the database that DATABASE_URL names."""
    photograph_report(os.environ["DATABASE_URL"])
    _, shown = run_at_terminal("stats", conninfo=os.environ["DATABASE_URL"], width=WIDTH)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(shown), encoding="utf-8")


if __name__ == "__main__":
    main()
