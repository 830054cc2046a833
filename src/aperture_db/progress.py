"""Events of long work, in one vocabulary: rooms yield them, the command line reports them.

A room adds events of its own only for results, such as a finished table.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """A part of the work begins; `text` is a short sentence without its full stop."""

    text: str


@dataclass(frozen=True)
class Progress:
    """Position in the work: `done` of `total` steps, `total` None where it is unknown.

    A `total` of 1.0 makes `done` a share of the whole.
    """

    text: str
    done: float = 0
    total: float | None = None


@dataclass(frozen=True)
class Warned:
    """A problem that does not stop the work."""

    text: str


@dataclass(frozen=True)
class Waiting:
    """Other sessions hold a lock that the work needs."""

    text: str
    """The object that is locked."""
    sessions: tuple[object, ...]
    """Described by their str(); empty where they are unknown, as for prepared transactions."""
    waited_seconds: float | None = None


@dataclass(frozen=True)
class Committing:
    """The transaction is being committed: an interruption from here on may leave it done."""


@dataclass(frozen=True)
class Committed:
    """The changes are permanent; only follow-up work remains."""


Event = Phase | Progress | Warned | Waiting
