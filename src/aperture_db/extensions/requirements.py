"""The extensions that Aperture can't do without, and the versions that matter."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Defect:
    """A known fault of an extension's older versions."""

    fixed_in: str
    text: str


@dataclass(frozen=True)
class Requirement:
    """One extension that Aperture needs."""

    name: str
    needed_for: str
    minimum_version: str | None = None
    minimum_reason: str = ""
    defects: tuple[Defect, ...] = ()

    def defects_of(self, version: str) -> tuple[Defect, ...]:
        """The known faults that `version` still has."""
        return tuple(fault for fault in self.defects if is_older(version, fault.fixed_in))


# In the order in which they are created. The defects are from pgvector's release notes.
REQUIREMENTS = (
    Requirement(
        "vector",
        "embeddings and their search",
        minimum_version="0.7.0",
        minimum_reason="embeddings are stored as halfvec, which came with 0.7.0",
        defects=(
            Defect("0.8.2", "CVE-2026-3172"),
            Defect("0.8.3", "VACUUM can corrupt an HNSW index"),
            Defect("0.8.4", "the repair of HNSW graphs is faulty"),
        ),
    ),
    Requirement("pgcrypto", "ids and random tokens"),
    Requirement("pg_trgm", "fuzzy title search"),
)


def is_older(version: str, other: str) -> bool:
    """Whether `version` comes before `other`, number by number: 0.8.10 is newer than 0.8.9."""
    return _numbers(version) < _numbers(other)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
