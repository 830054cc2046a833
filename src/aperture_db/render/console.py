"""What is printed on: consoles for stdout and stderr, the one look of tables, and the JSON object.

Each console has its own answer to colour and width. Every text that is shown becomes visible here,
whatever its characters: a string where rich makes a Text of it, and a Text where it is made. So a
line break of ours is never inside a text; several lines are several texts.
"""

from __future__ import annotations

import io
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO
from uuid import UUID

from rich import text as rich_text
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.style import Style
from rich.table import Table
from rich.theme import Theme

from aperture_db.errors import ApertureDbError
from aperture_db.format import UNSHOWN, pasteable, visible
from aperture_db.render.follow_up import shown

# Wide enough that no line is ever wrapped or cut for a pipe or a log.
UNLIMITED_WIDTH = 16_384
MIN_PROSE_WIDTH = 20
TWO_COLUMNS_WIDTH = 120
# A command inside a sentence: SQL to its semicolon, a command line to the end of the clause.
COMMAND = re.compile(
    r"""
    \b(?:ALTER|ANALYZE|COMMIT|CREATE|DELETE|DROP|GRANT|INSERT|REINDEX|REVOKE|ROLLBACK|SELECT|UPDATE
        |VACUUM)\ (?:"[^"]*"|'[^']*'|[^;"'])*;
    |
    \b(?:aperture-db|cat|chown|df|docker|export|ls|mkdir|pg_dump|pg_restore|pip|sed|sudo)
    (?:\ (?!(?:and|as|gives|in|keeps?|lists?|names?|or|puts|saves?|shows?|then|to)\b)
        (?:'[^']*'|"[^"]*"|[^\s'";,)]|[;,)](?=\S))+)+
    """,
    re.VERBOSE,
)

THEME = Theme(
    {
        "ok": "green",
        "info": "cyan",
        "warning": "yellow",
        "critical": "bold red",
        "error": "bold red",
        "skipped": "dim",
        "muted": "dim",
        "heading": "bold",
        "table.header": "bold",
        "progress.elapsed": "dim",
    }
)


class OutputClosedError(Exception):
    """Whoever read our output has gone, as `| head` does."""


def wrap_prose(text: str, width: int, mark: str) -> list[str]:
    """The lines of a sentence after a mark, broken between words and not inside a command."""
    lines = textwrap.wrap(
        COMMAND.sub(lambda match: match[0].replace(" ", "\0"), shown(text)),
        max(width, MIN_PROSE_WIDTH),
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\0", " ") for line in lines]


class Text(rich_text.Text):
    """A styled text in which every character is visible."""

    def __init__(self, text: str = "", style: str | Style = "", **options: Any) -> None:
        super().__init__(shown(text), style, **options)

    def append(self, text: rich_text.Text | str, style: str | Style | None = None) -> Self:
        """Add to the end."""
        super().append(shown(text) if isinstance(text, str) else text, style)
        return self


class QuittingConsole(Console):
    """A console that tells when its reader has gone; rich itself would end the process."""

    def render_str(self, text: str, **options: Any) -> rich_text.Text:
        """The Text of a string that is printed, or stands in a table."""
        return super().render_str(shown(text), **options)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        raise OutputClosedError

    def print_result(self, result: RenderableType) -> None:
        """Print, off a terminal without the spaces that rich fills lines up with.

        Nothing is cropped: a line that must not be broken, a command or a path, may stick out.
        """
        if self.is_terminal:
            self.print(result, crop=False)
            return
        with self.capture() as captured:
            self.print(result, crop=False)
        self.file.write("".join(f"{line.rstrip(' ')}\n" for line in captured.get().splitlines()))
        self.file.flush()

    def print_prose(self, text: str, style: str | None = None, mark: str = "") -> None:
        """Print a sentence after a mark such as `error: `: at a terminal broken between words, all
        lines indented like the first; elsewhere never broken. A word or a command stays whole."""
        lines = wrap_prose(text, self.width, mark) if self.is_terminal else [mark + shown(text)]
        for line in lines:
            self.print(line, style=style, soft_wrap=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write what the block printed; a signal that breaks this off may come after the text is
        out, and rich would write it again with the next print."""
        try:
            super().__exit__(kind, error, traceback)
        except KeyboardInterrupt:
            self.begin_capture()
            self.end_capture()
            raise


class ColorMode(StrEnum):
    """When to colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def wants_color(mode: ColorMode, stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether `stream` gets colour: the option, then NO_COLOR (no-color.org), then FORCE_COLOR
    and CLICOLOR_FORCE unless they are 0, then whether it is a terminal."""
    if mode is not ColorMode.AUTO:
        return mode is ColorMode.ALWAYS
    if environ.get("NO_COLOR"):
        return False
    if any(environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return stream.isatty() and environ.get("TERM") != "dumb"


def make_console(
    mode: ColorMode, stream: TextIO | None, environ: Mapping[str, str]
) -> QuittingConsole:
    """A console that colours by `wants_color` and cuts nothing unless it is a terminal.

    Only the terminal's own 16 colours are used, so its theme decides how they look. `stream` is
    None where the process was started without one.
    """
    stream = stream or io.StringIO()
    color = wants_color(mode, stream, environ)
    terminal = stream.isatty()
    return QuittingConsole(
        file=stream,
        theme=THEME,
        color_system="standard" if color else None,
        no_color=not color,
        # Set, because rich would take FORCE_COLOR for a terminal, and animate in a log.
        force_terminal=terminal,
        force_interactive=terminal and environ.get("TERM") != "dumb",
        width=None if terminal else UNLIMITED_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )


NOTHING = "-"


def make_table(*columns: str | tuple[str, str], right: Sequence[str] = ()) -> Table:
    """An empty table with these columns, of which `right` hold numbers. A heading may have two
    lines, the second of which is its name.

    At a terminal that is too narrow texts wrap; nothing is ever cut, and numbers stay whole.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="table.header")
    for column in columns:
        lines = (column,) if isinstance(column, str) else column
        is_number = lines[-1] in right
        table.add_column(
            Group(*lines),
            justify="right" if is_number else "left",
            no_wrap=is_number,
            overflow="fold",
        )
    return table


@dataclass(frozen=True)
class Item:
    """One item of a list. Unlike a table's cell it leaves no spaces behind its lines."""

    mark: str
    """With the space behind it."""
    text: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(options.max_width - len(self.mark), 1)
        mark = self.mark
        for line in self.text.wrap(console, width):
            line.rstrip()
            yield Text.assemble(mark, line)
            mark = " " * len(self.mark)


@dataclass(frozen=True)
class Advice:
    """One step to take, a sentence or a command."""

    mark: str
    """With the space behind it, such as `next: `."""
    step: str
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in wrap_prose(pasteable(self.step), options.max_width, self.mark):
            yield unbroken(line, self.style)


@dataclass(frozen=True)
class TwoColumns:
    """Parts side by side at a terminal that is wide enough, else below each other."""

    left: RenderableType
    right: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not console.is_terminal or options.max_width < TWO_COLUMNS_WIDTH:
            yield Group(self.left, "", self.right)
            return
        grid = Table.grid(padding=(0, 3, 0, 0), expand=True)
        grid.add_column(ratio=1)
        grid.add_column(ratio=1)
        grid.add_row(self.left, self.right)
        yield grid


def dry_run_ending(command: str) -> Iterator[RenderableType]:
    """The last lines of a plan: nothing happened, and what makes it happen."""
    yield ""
    yield Text("Nothing was changed. To carry out exactly this plan:")
    yield unbroken(f"  {command}")


def unbroken(text: str, style: str = "") -> Text:
    """A line that stays one when it is copied, however narrow the terminal: commands, paths."""
    return Text(text, style=style, no_wrap=True, overflow="ignore")


CHART_WIDTH = 16
BARS = "▁▂▃▄▅▆▇█"
# For terminals without the block characters.
ASCII_BARS = "_.-~=+*#"


class Sparkline:
    """Numbers as a row of bars, the lowest to the highest of them; one bar per number, or the
    last number of each of CHART_WIDTH equal parts."""

    def __init__(self, values: Sequence[int]) -> None:
        parts = min(len(values), CHART_WIDTH)
        ends = [len(values) * (part + 1) // parts - 1 for part in range(parts)]
        self.values = [values[end] for end in ends]

    def __rich_measure__(self, _console: Console, _options: ConsoleOptions) -> Measurement:
        return Measurement(len(self.values), len(self.values))

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        bars = ASCII_BARS if options.ascii_only else BARS
        low, high = min(self.values), max(self.values)
        steps = [
            (value - low) * (len(bars) - 1) // (high - low) if high > low else 0
            for value in self.values
        ]
        yield Text("".join(bars[step] for step in steps), style="info", end="")


SCHEMA_VERSION = 1


def render_envelope(
    command: str,
    data: object,
    warnings: list[str],
    error: ApertureDbError | None,
    *,
    ok: bool,
    ascii_only: bool = False,
) -> str:
    """The envelope as text. `data` may be a dataclass; None where the run failed early.

    `ascii_only` escapes all other letters, for a stream whose encoding may lack some.
    """
    envelope = {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "ok": ok,
        "data": to_plain(data),
        "warnings": list(map(pasteable, warnings)),
        "error": _plain_error(error) if error else None,
    }
    text = json.dumps(envelope, ensure_ascii=ascii_only, allow_nan=False, indent=2)
    # Strings stay exact: JSON's own escapes are visible, too.
    return UNSHOWN.sub(lambda match: _escape_in_json(match[0]), text)


def _escape_in_json(character: str) -> str:
    return character if character == "\n" else json.dumps(character)[1:-1]


def _plain_error(error: ApertureDbError) -> dict[str, str]:
    """The texts of an error are for people, as on stderr."""
    cause = "\n".join(map(visible, (error.why, *error.details)))
    steps = "\n".join(map(pasteable, error.next_steps))
    return {"code": error.code, "message": visible(error.what), "cause": cause, "next": steps}


def to_plain(value: object) -> Any:
    """Dataclasses as objects, times as ISO 8601 in UTC, everything else as JSON has it; what is
    not a finite number as null.

    Fields marked `metadata={"json": False}` stay out.
    """
    match value:
        case float() if not isfinite(value):
            return None
        case None | bool() | int() | float() | str() if not isinstance(value, Enum):
            return value
        case Enum():
            return value.value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date() | UUID() | Path():
            return str(value)
        case Decimal():
            return to_plain(float(value))
        case Mapping():
            return {str(to_plain(key)): to_plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
            return [to_plain(item) for item in items]
        case _ if is_dataclass(value):
            shown = [field for field in fields(value) if field.metadata.get("json", True)]
            return {field.name: to_plain(getattr(value, field.name)) for field in shown}
        case _:
            raise TypeError(f"{type(value).__name__} has no form in JSON")
