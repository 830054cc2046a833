"""The README, its picture and the tour show what the program really prints.

Each `console` block is a command and its output at a terminal of 80 columns. Figures that differ
from run to run count as equal. `pytest --update-snapshots` writes the outputs anew.
"""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest
from psycopg.conninfo import conninfo_to_dict
from rich.text import Text
from scripts.screenshot import COMMAND, PICTURE, draw, text_of

from aperture_db.postgres.session import open_session
from aperture_db.sample import DEMO_SIZE, fill
from tests.terminal import run_at_terminal

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SHOWN_IN = (README, ROOT / "docs" / "tour.md")
MOST_LINES = 200
BLOCK = re.compile(r"```console\n\$ aperture-db ([^\n]*)\n(.*?)```", re.DOTALL)
BROKEN = """-- The average rating of each user.

SELECT user_id, avg(ratting) FROM user_ratings GROUP BY user_id;
"""
# Wider than the terminal that the program sees: a line that a terminal folds is one line still.
SCREEN = pyte.Screen(columns=400, lines=400)


@pytest.fixture
def demo(aperture_database: Callable[[], str]) -> str:
    """A database with the demo's library."""
    conninfo = aperture_database()
    with open_session(conninfo) as conn:
        deque(fill(conn, DEMO_SIZE, indexes_last=True), maxlen=0)
    return conninfo


@pytest.mark.parametrize("document", SHOWN_IN, ids=lambda path: path.name)
def test_documents_show_what_the_program_prints(
    document: Path,
    demo: str,
    new_database: Callable[[], str],
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    (tmp_path / "my-migrations").mkdir()
    (tmp_path / "my-migrations" / "0002_ratings.sql").write_text(BROKEN)
    (tmp_path / "my-migrations" / "0001_tables.sql").write_text(
        "CREATE TABLE user_ratings (user_id uuid, rating integer);"
    )
    (tmp_path / "backups").mkdir()

    def show(block: re.Match[str]) -> str:
        arguments = block[1]
        conninfo = new_database() if arguments.startswith("migrate") else demo
        shown = shown_output(arguments, conninfo, tmp_path)
        return f"```console\n$ aperture-db {arguments}\n{shown}```"

    written = document.read_text(encoding="utf-8")
    real = BLOCK.sub(show, written)
    if pytestconfig.getoption("--update-snapshots"):
        document.write_text(real, encoding="utf-8")
    else:
        assert without_figures(written) == without_figures(real)


def test_the_picture_shows_what_the_program_prints(
    demo: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    arguments = COMMAND.split()[1:]
    _, shown = run_at_terminal(*arguments, conninfo=demo, directory=tmp_path)
    shown = with_the_names_of_the_readme(shown, demo, tmp_path)
    if pytestconfig.getoption("--update-snapshots"):
        PICTURE.write_text(draw(shown), encoding="utf-8")
    drawn = text_of(PICTURE.read_text(encoding="utf-8"))
    assert without_figures(Text.from_ansi(shown).plain) in without_figures(drawn)

    assert str(PICTURE.relative_to(ROOT)) in README.read_text(encoding="utf-8")


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def shown_output(arguments: str, conninfo: str, directory: Path) -> str:
    """What stands on the screen when the command has ended, under the README's names."""
    _, text = run_at_terminal(
        *shlex.split(arguments), conninfo=conninfo, directory=directory, NO_COLOR="1"
    )
    SCREEN.reset()
    pyte.Stream(SCREEN).feed(text.replace("\n", "\r\n"))
    shown = "\n".join(line.rstrip() for line in SCREEN.display).strip("\n") + "\n"
    return with_the_names_of_the_readme(shown, conninfo, directory)


def with_the_names_of_the_readme(shown: str, conninfo: str, directory: Path) -> str:
    """The test's database and directory, named as a reader's."""
    parts = conninfo_to_dict(conninfo)
    for real, told in (
        (f"{parts['user']}@{parts['host']}:{parts['port']}", "aperture@localhost:5432"),
        (f"{parts['host']}:{parts['port']}", "localhost:5432"),
        (str(parts["dbname"]), "aperture"),
        (str(directory), ""),
    ):
        shown = shown.replace(real, told)
    return shown


def without_figures(text: str) -> str:
    """The text with every number with its unit, and every run of spaces, made alike."""
    text = re.sub(r"[~]?\d[\d,.:_-]*( ?(%|B|kB|MB|GB|ms|s|min|h|d)\b)?", "0", text)
    return re.sub(r"\s+", " ", text).strip()
