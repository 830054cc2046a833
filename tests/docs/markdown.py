"""The project's documents: their headings, links and command lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "tests" / "README.md",
    ROOT / "bench" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
# Files that quote commands without being documents.
EXAMPLES = (
    ROOT / "docker-compose.yml",
    *sorted((ROOT / "examples").rglob("*.service")),
)
HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
# Code between fences, an indented line, between backticks, or a line of a unit or a comment.
FENCED = re.compile(r"^ *```\w*\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^(?: {4}|#  |ExecStart=).*$", re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")
# `docker exec CONTAINER` runs whatever follows.
CONTAINER = re.compile(r"\bdocker (?:compose (?:-f \S+ )?)?exec (?:-\S+ )*[\w-]+ ")


def name_of(path: Path) -> str:
    """The path of a document from the root of the project."""
    return str(path.relative_to(ROOT))


@cache
def read(path: Path) -> str:
    """The text of a document."""
    return path.read_text(encoding="utf-8")


@cache
def sections(path: Path) -> dict[str, str]:
    """The text below each heading with its subsections, by the heading's anchor."""
    text = read(path)
    outside = FENCE.sub(lambda fence: re.sub(r"[^\n]", " ", fence[0]), text)
    headings = [(len(each[1]), each[2], each.start()) for each in HEADING.finditer(outside)]
    found: dict[str, str] = {}
    for index, (level, title, start) in enumerate(headings):
        later = (place for depth, _, place in headings[index + 1 :] if depth <= level)
        found[anchor(title)] = text[start : next(later, len(text))]
    return found


def anchor(title: str) -> str:
    """The anchor that GitHub gives a heading."""
    words = re.sub(r"[^\w\- ]", "", title.replace("`", "")).strip().lower()
    return words.replace(" ", "-")


def links(path: Path) -> Iterator[str]:
    """The targets of a document's links and pictures, outside of code blocks."""
    for link in LINK.finditer(FENCE.sub("", read(path))):
        yield link[1] or link[2]


def command_lines(path: Path) -> Iterator[tuple[str, ...]]:
    """The arguments of every command line of aperture-db that a document quotes as code."""
    text = read(path)
    if path.suffix == ".md":
        rest = FENCED.sub("", text)
        code = [*FENCED.findall(text), *INDENTED.findall(rest)]
        code += [line.replace("\n", " ") for line in INLINE.findall(INDENTED.sub("", rest))]
    else:
        code = INDENTED.findall(text)
    for block in code:
        for line in block.replace("\\\n", " ").splitlines():
            yield from _calls(CONTAINER.sub("", line))


def _calls(line: str) -> Iterator[tuple[str, ...]]:
    """The last word `aperture-db` of a line, or of its part before a pipe, is the program: before
    it stand names of images and units."""
    for part in re.split(r" (?:\|\|?|&&) ", line):
        found = re.search(r"(?<![\w.-])(aperture-db|scripts/migrate\.py)( [^`]*)?$", part)
        if found is None:
            continue
        words = _words(found[2] or "")
        yield ("migrate", *words) if "migrate" in found[1] else words


def _words(rest: str) -> tuple[str, ...]:
    """The words of a command line up to its end in the shell. A variable counts as a number."""
    rest = re.sub(r"\"?\$(\w+|\([^)]*\))\"?", "1", rest)
    lexer = shlex.shlex(rest, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    return tuple(takewhile(lambda word: word[0] not in "|&;<>()", lexer))
