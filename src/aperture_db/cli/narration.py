"""Turns the shared progress events into narration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from aperture_db.format import format_seconds
from aperture_db.progress import Event, Phase, Progress, Waiting, Warned

if TYPE_CHECKING:
    from aperture_db.cli.run import Run
    from aperture_db.render.progress import Narrator

Other = TypeVar("Other")


def narrate(run: Run, narrator: Narrator, events: Iterator[Event | Other]) -> Iterator[Other]:
    """Turn phases, progress and warnings into narration; hand on what is left."""
    for event in events:
        match event:
            case Phase(text):
                narrator.step(text)
                narrator.log(f"{text[0].upper()}{text[1:]}", "muted")
            case Progress(text, done, total):
                narrator.step(text, done, total)
            case Waiting(text, sessions, waited_seconds):
                held = "; ".join(map(str, sessions)) or "another session"
                waited = f" for {format_seconds(waited_seconds)}" if waited_seconds else ""
                narrator.line(f"{text}: waiting{waited} for its lock, held by {held}", "warning")
            case Warned(text):
                run.warn(text)
            case other:
                yield other
