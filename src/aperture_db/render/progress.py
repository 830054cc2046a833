"""Output that changes: the progress of long work on stderr, and views that are refreshed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from rich import progress as bars
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.table import Column

from aperture_db.format import format_seconds, plural
from aperture_db.progress import Event, Phase, Progress, Waiting, Warned
from aperture_db.render.console import QuittingConsole, Text

HEARTBEAT_SECONDS = 30.0

Result = TypeVar("Result")
Show = Callable[[RenderableType], None]


class StepColumn(bars.ProgressColumn):
    """The current step, as it is: rich's own column would obey markup in a table's name."""

    def render(self, task: bars.Task) -> Text:
        return Text(task.description)


class DoneColumn(bars.MofNCompleteColumn):
    """3/27, or 42 % where the whole is 1.0; never 100 % before the end; nothing where the whole
    is not known."""

    def render(self, task: bars.Task) -> Text:
        total: object = task.total
        if total is None:
            return Text()
        if isinstance(total, float):
            return Text(format_share(task.completed), style="progress.download")
        return Text(super().render(task).plain, style="progress.download")


class ProgressReporter:
    """Reports the progress of long work. A context manager around the work.

    At a terminal the current step is a bar that disappears at the end; lines given to `line`
    stay above it. Off a terminal there are only lines, and a heartbeat every 30 s names the
    step that is still running. A silent reporter prints nothing; warnings among the events that
    `report` gets go to `warn` all the same.
    """

    def __init__(
        self,
        console: QuittingConsole,
        *,
        animated: bool,
        silent: bool,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._console = console
        self._warn = warn or (lambda text: self.line(f"warning: {text}", "warning"))
        self._silent = silent
        self._started = time.monotonic()
        self._step = ""
        self._share = ""
        self._stopped = threading.Event()
        self._heart: threading.Thread | None = None
        self._bar: bars.Progress | None = None
        if animated and not silent:
            self._bar = bars.Progress(
                StepColumn(Column(ratio=1, no_wrap=True, overflow="ellipsis")),
                bars.BarColumn(bar_width=24),
                DoneColumn(),
                bars.TimeElapsedColumn(),
                console=console,
                transient=True,
                expand=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        elif not self._silent:
            self._heart = threading.Thread(target=self._beat, daemon=True)
            self._heart.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        if self._heart:
            self._heart.join()
        if self._bar:
            self._bar.stop()

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self._started

    def report(self, events: Iterable[Event | Result]) -> Iterator[Result]:
        """Report phases, progress, locks and warnings; yield the other items, which are results."""
        for event in events:
            match event:
                case Phase(text):
                    self.step(text)
                    self.log(f"{text[0].upper()}{text[1:]}", "muted")
                case Progress(text, done, total):
                    self.step(text, done, total)
                case Waiting(text, sessions, waited_seconds):
                    held = "; ".join(map(str, sessions)) or "another session"
                    waited = f" for {format_seconds(waited_seconds)}" if waited_seconds else ""
                    self.line(f"{text}: waiting{waited} for its lock, held by {held}", "warning")
                case Warned(text):
                    self._warn(text)
                case other:
                    yield other

    def step(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Name the current step, and how much of the whole is done; a share of 1.0 is shown in
        percent."""
        self._step = text
        self._share = (
            f", {format_share(done)}" if done is not None and isinstance(total, float) else ""
        )
        if self._bar:
            if total is None:
                # rich takes None for "as before".
                self._bar.tasks[0].total = None
            self._bar.update(self._task, description=text, completed=done, total=total)

    def remark(self, text: str, style: str | None = None) -> None:
        """Show a detail of the current step: beside the bar for a moment, or as a line."""
        if self._bar:
            self._bar.update(self._task, description=f"{self._step} {text}")
        else:
            self.line(text, style)

    def log(self, text: str, style: str | None = None) -> None:
        """Print a line off a terminal; at one, where the bar moves on, there is no need to."""
        if self._bar is None:
            self.line(text, style)

    def line(self, text: str, style: str | None = None) -> None:
        """Print a line that stays."""
        if not self._silent:
            self._console.print_prose(text, style)

    def _beat(self) -> None:
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            duration = format_seconds(self.elapsed_seconds)
            self.line(f"… {self._step or 'working'}{self._share}, {duration} so far")


def format_share(share: float) -> str:
    """Whole percent, rounded down: 0.999 is 99 %."""
    return f"{int(share * 100)} %"


@contextmanager
def refreshed_view(console: QuittingConsole, *, in_place: bool) -> Iterator[Show]:
    """Give the block a function that shows a view instead of the one before.

    `in_place`: on the terminal's alternate screen, cut to its height; the last view is printed
    when the block ends. Otherwise each view is printed below the one before.
    """
    shown: list[RenderableType] = []
    if not in_place:
        yield lambda view: _print_below(console, view, shown)
        return
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            yield lambda view: _replace(live, view, shown)
    finally:
        for view in shown:
            console.print_result(view)


def _print_below(
    console: QuittingConsole, view: RenderableType, shown: list[RenderableType]
) -> None:
    if shown:
        console.print()
    shown[:] = [view]
    console.print_result(view)


def _replace(live: Live, view: RenderableType, shown: list[RenderableType]) -> None:
    shown[:] = [view]
    live.update(_CutToHeight(view), refresh=True)


@dataclass(frozen=True)
class _CutToHeight:
    """As much of a view as the screen holds, and a line that says how much does not fit."""

    view: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.height
        lines = console.render_lines(self.view, options.update(height=None), pad=False)
        hidden = len(lines) - height
        if hidden > 0:
            lines = lines[: height - 1]
        for line in lines:
            yield from line
            yield Segment.line()
        if hidden > 0:
            yield Text(f"… {plural(hidden + 1, 'line')} more than fit here", style="muted", end="")
