"""The extensions that Aperture needs, and what one database has of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from aperture_db.postgres import Platform


@dataclass(frozen=True)
class Defect:
    """A known fault of older versions of an extension."""

    fixed_in: str
    text: str


@dataclass(frozen=True)
class Requirement:
    """An extension that Aperture needs."""

    name: str
    needed_for: str
    minimum_version: str | None = None
    minimum_reason: str = ""
    defects: tuple[Defect, ...] = ()

    def defects_of(self, version: str) -> tuple[Defect, ...]:
        """List the known faults of a version."""
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
    """Compare versions number by number: 0.8.9 is older than 0.8.10."""
    return _numbers(version) < _numbers(other)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


class ExtensionState(StrEnum):
    """The usability of an extension for Aperture."""

    OK = "ok"
    OUTDATED = "outdated"
    """Usable, but a newer version fixes known faults."""
    TOO_OLD = "too_old"
    NOT_INSTALLED = "not_installed"
    """The server has its files, but it is not created in the database."""
    UNREACHABLE = "unreachable"
    """Created in a schema that is not on the role's search_path."""
    UNAVAILABLE = "unavailable"
    """The server has no files of it."""


# The major version of the image that Aperture's compose files use.
ADVISED_MAJOR = 16

USABLE = (ExtensionState.OK, ExtensionState.OUTDATED)


@dataclass(frozen=True)
class Extension:
    """A required extension and its state in this database."""

    name: str
    needed_for: str
    minimum_version: str | None
    installed_version: str | None
    available_version: str | None
    """The version that the server's files would install; None without files."""
    schema: str | None
    state: ExtensionState
    reason: str
    """The reason for a state other than ok; empty if it is ok."""
    statement: str | None
    """The SQL that creates or updates it from the server's present files."""
    is_permitted: bool
    """True if this role may run `statement`, or there is none."""
    is_trusted: bool
    """True if CREATE on the database is enough to create it."""
    needs_files: bool
    """True if the server has no files of it, or files that are too old."""

    @property
    def is_usable(self) -> bool:
        return self.state in USABLE

    @property
    def blocks_migration(self) -> bool:
        """True if a migration that creates or uses it would fail."""
        if self.state is ExtensionState.NOT_INSTALLED:
            return not self.is_permitted
        return not self.is_usable


@dataclass(frozen=True)
class ServerAccess:
    """The server, and the privileges of the current role there."""

    version: str
    version_number: int
    """PostgreSQL's own, 160004 for 16.4."""
    place: Platform
    database: str
    role: str
    is_superuser: bool
    is_standby: bool
    may_create_in_database: bool
    has_admin_role: bool
    """True if the role is a member of the managed service's role for extensions."""
    path_advice: str = field(default="", metadata={"json": False})
    """What makes Aperture and its extensions reachable; empty if they are."""

    def __str__(self) -> str:
        return f"PostgreSQL {self.version.split()[0]} {self.place}"

    @property
    def major(self) -> int:
        return self.version_number // 10000

    @property
    def is_old(self) -> bool:
        """True if it is supported but older than recommended."""
        return self.major < ADVISED_MAJOR

    @property
    def may_create_extensions(self) -> bool:
        """True if the role may create any extension, also those that need a superuser."""
        return self.is_superuser or self.has_admin_role


@dataclass(frozen=True)
class ExtensionChange:
    """An attempt to create or update an extension."""

    name: str
    statement: str
    previous_version: str | None
    refusal: str = ""
    """The server's message if it refused; empty if it succeeded."""


class ProbeOutcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Probe:
    """The result of using an extension for real."""

    extension: str
    what: str
    outcome: ProbeOutcome
    detail: str


@dataclass(frozen=True)
class ExtensionsReport:
    """The required extensions of a database, in the order in which they are created."""

    server: ServerAccess
    extensions: tuple[Extension, ...]
    advice: tuple[str, ...]
    """Steps in order; empty if nothing is to be done."""
    changes: tuple[ExtensionChange, ...] = ()
    """Results of --create."""
    probes: tuple[Probe, ...] = ()
    """Results of --probe."""

    @property
    def unusable(self) -> tuple[Extension, ...]:
        return tuple(extension for extension in self.extensions if not extension.is_usable)

    @property
    def outdated(self) -> tuple[Extension, ...]:
        return tuple(e for e in self.extensions if e.state is ExtensionState.OUTDATED)

    @property
    def failed_probes(self) -> tuple[Probe, ...]:
        return tuple(probe for probe in self.probes if probe.outcome is ProbeOutcome.FAILED)

    @property
    def blocking_migrations(self) -> tuple[Extension, ...]:
        """The extensions without which `migrate` fails: not those that it may create itself."""
        return tuple(extension for extension in self.extensions if extension.blocks_migration)
