"""PostgreSQL's table lock modes, which of them conflict, and the sessions that hold locks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LockMode(StrEnum):
    """A mode as LOCK TABLE takes it, from the weakest to the strongest."""

    ACCESS_SHARE = "ACCESS SHARE"
    ROW_SHARE = "ROW SHARE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"

    @property
    def catalog_name(self) -> str:
        """The name in `pg_locks.mode`, such as AccessShareLock."""
        return "".join(word.title() for word in self.split()) + "Lock"

    @property
    def conflicts(self) -> tuple[str, ...]:
        """The modes that keep another session from this one, as `pg_locks.mode` names them."""
        return tuple(mode.catalog_name for mode in LockMode if mode in _CONFLICTS[self])


_WRITERS = {
    LockMode.ROW_EXCLUSIVE,
    LockMode.SHARE_UPDATE_EXCLUSIVE,
    LockMode.SHARE,
    LockMode.SHARE_ROW_EXCLUSIVE,
    LockMode.EXCLUSIVE,
    LockMode.ACCESS_EXCLUSIVE,
}
_CONFLICTS = {
    LockMode.ACCESS_SHARE: {LockMode.ACCESS_EXCLUSIVE},
    LockMode.ROW_SHARE: {LockMode.EXCLUSIVE, LockMode.ACCESS_EXCLUSIVE},
    LockMode.ROW_EXCLUSIVE: _WRITERS - {LockMode.ROW_EXCLUSIVE, LockMode.SHARE_UPDATE_EXCLUSIVE},
    LockMode.SHARE_UPDATE_EXCLUSIVE: _WRITERS - {LockMode.ROW_EXCLUSIVE},
    LockMode.SHARE: _WRITERS - {LockMode.SHARE},
    LockMode.SHARE_ROW_EXCLUSIVE: _WRITERS,
    LockMode.EXCLUSIVE: set(LockMode) - {LockMode.ACCESS_SHARE},
    LockMode.ACCESS_EXCLUSIVE: set(LockMode),
}


@dataclass(frozen=True)
class Session:
    """Another session of the server. Without pg_monitor its state and age are unknown."""

    pid: int
    application: str
    user: str
    state: str
    transaction_age_seconds: float | None

    def __str__(self) -> str:
        parts = [f"pid {self.pid}"]
        if self.application:
            parts.append(self.application)
        if self.user:
            parts.append(f"user {self.user}")
        if self.state:
            parts.append(self.state)
        if self.transaction_age_seconds is not None:
            parts.append(f"in its transaction for {self.transaction_age_seconds:.0f} s")
        return ", ".join(parts)
