"""Which checks run, what they ignore, and which thresholds replace their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from aperture_db.health.check import TIMEOUT_SECONDS, Check
from aperture_db.health.report import Thresholds


@dataclass(frozen=True)
class Selection:
    """What the options of a run ask for."""

    only: frozenset[str] = frozenset()
    """Ids; empty for all."""
    ignored: frozenset[tuple[str, str]] = frozenset()
    """Pairs of id and object, which may have * and ?; without an object the whole check."""
    warnings: Mapping[str, float] = field(default_factory=dict)
    """By id."""
    criticals: Mapping[str, float] = field(default_factory=dict)
    strict: bool = False
    timeout_seconds: float = TIMEOUT_SECONDS
    """For each statement of each check."""

    def includes(self, check_id: str) -> bool:
        if self.only and check_id not in self.only:
            return False
        return (check_id, "") not in self.ignored

    def ignores(self, check_id: str, name: str) -> bool:
        """Whether a finding about the object `name` is ignored."""
        return bool(name) and any(
            check_id == ignored and pattern and fnmatchcase(name, pattern)
            for ignored, pattern in self.ignored
        )

    def thresholds(self, check: Check) -> Thresholds | None:
        if check.thresholds is None:
            return None
        return replace(
            check.thresholds,
            warning=self.warnings.get(check.id, check.thresholds.warning),
            critical=self.criticals.get(check.id, check.thresholds.critical),
        )
