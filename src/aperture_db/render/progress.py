"""Narration of long work on stderr: a moving bar at a terminal, plain lines everywhere else."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from aperture_db.format import format_seconds
from aperture_db.render.console import QuittingConsole

HEARTBEAT_SECONDS = 30.0


class DoneColumn(MofNCompleteColumn):
    """3/27, or 42 % where the whole is 1.0; never 100 % before the end; nothing where the whole
    is not known."""

    def render(self, task: Task) -> Text:
        total: object = task.total
        if total is None:
            return Text()
        if isinstance(total, float):
            return Text(format_share(task.completed), style="progress.download")
        return super().render(task)


class Narrator:
    """Tells the user what long work is at. A context manager around the work.

    At a terminal the current step is a bar that goes away at the end; lines given to `line`
    stay above it. Off a terminal there are only lines, and a heartbeat every 30 s names the
    step that is still running. A silent narrator says nothing.
    """

    def __init__(self, console: QuittingConsole, *, animated: bool, silent: bool) -> None:
        self._console = console
        self._silent = silent
        self._started = time.monotonic()
        self._step = ""
        self._share = ""
        self._stopped = threading.Event()
        self._heart: threading.Thread | None = None
        self._bar: Progress | None = None
        if animated and not silent:
            self._bar = Progress(
                TextColumn(
                    "{task.description}",
                    table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
                ),
                BarColumn(bar_width=24),
                DoneColumn(),
                TimeElapsedColumn(),
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

    def step(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Name the current step, and how much of the whole is done; a share of 1.0 is told in
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
        """Tell a detail of the current step: beside the bar for a moment, or as a line."""
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
