"""What a purge tells while it goes on."""

from __future__ import annotations

from dataclasses import dataclass

from aperture_db.purge.report import PurgeOutcome


@dataclass(frozen=True)
class Phase:
    """A part of the work begins. Until Committing, an interruption undoes all of it."""

    text: str


@dataclass(frozen=True)
class Doing:
    """A step of the phase begins."""

    text: str
    done: int = 0
    total: int | None = None


@dataclass(frozen=True)
class Committing:
    """The transaction is being committed."""


@dataclass(frozen=True)
class Committed:
    """Everything is deleted for good; what follows only gives space back."""


@dataclass(frozen=True)
class Purged:
    """The end."""

    outcome: PurgeOutcome


Event = Phase | Doing | Committing | Committed | Purged
