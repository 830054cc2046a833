"""What long work on dumps tells while it goes on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """A part of the work begins; `text` is a short sentence without its full stop."""

    text: str


@dataclass(frozen=True)
class Progress:
    """Where the phase stands: `done` of `total` steps, `total` None where nobody knows."""

    text: str
    done: int
    total: int | None


@dataclass(frozen=True)
class Warned:
    """Something the user should know that does not stop the work."""

    text: str


Event = Phase | Progress | Warned
