"""What is known about the required extensions of one database."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aperture_db.postgres.hosting import Platform


class ExtensionState(StrEnum):
    """Whether Aperture can use an extension."""

    OK = "ok"
    OUTDATED = "outdated"
    """It works, and a newer version corrects known faults."""
    TOO_OLD = "too_old"
    NOT_INSTALLED = "not_installed"
    """The server has its files; the database does not have it yet."""
    UNREACHABLE = "unreachable"
    """Installed in a schema in which this role finds nothing."""
    UNAVAILABLE = "unavailable"
    """The server does not have its files."""


# The major version of the image that Aperture's compose files use.
ADVISED_MAJOR = 16

USABLE = (ExtensionState.OK, ExtensionState.OUTDATED)


@dataclass(frozen=True)
class Extension:
    """One required extension and what this database has of it."""

    name: str
    needed_for: str
    minimum_version: str | None
    installed_version: str | None
    available_version: str | None
    """What the server's files would install; None where there are none."""
    schema: str | None
    state: ExtensionState
    reason: str
    """Why the state is not ok; empty where it is."""
    statement: str | None
    """The SQL that installs or updates it from the server's present files."""
    is_permitted: bool
    """Whether this role may run `statement`; true where there is none."""
    is_trusted: bool
    """Whether CREATE on the database is enough, as opposed to being a superuser."""
    needs_files: bool
    """Whether the server needs other files of it, because it has none or too old ones."""

    @property
    def is_usable(self) -> bool:
        return self.state in USABLE

    @property
    def blocks_migration(self) -> bool:
        """Whether a migration that creates or uses it would fail."""
        if self.state is ExtensionState.NOT_INSTALLED:
            return not self.is_permitted
        return not self.is_usable


@dataclass(frozen=True)
class Server:
    """The server, and what the role that asks may do there."""

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
    """Whether the role may create extensions the way the managed service grants it."""

    def __str__(self) -> str:
        return f"PostgreSQL {self.version.split()[0]} {self.place}"

    @property
    def major(self) -> int:
        return self.version_number // 10000

    @property
    def is_old(self) -> bool:
        """Supported, and older than advised."""
        return self.major < ADVISED_MAJOR

    @property
    def may_create_extensions(self) -> bool:
        """Whether the role may create any extension, those that ask for a superuser included."""
        return self.is_superuser or self.has_admin_role


@dataclass(frozen=True)
class Change:
    """One statement that installed or updated an extension, or tried to."""

    name: str
    statement: str
    previous_version: str | None
    refusal: str = ""
    """The server's words where it refused; empty where it obeyed."""


class ProbeOutcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Probe:
    """One real use of an extension."""

    extension: str
    what: str
    outcome: ProbeOutcome
    detail: str


@dataclass(frozen=True)
class ExtensionsReport:
    """All required extensions of one database, in the order in which they are created."""

    server: Server
    extensions: tuple[Extension, ...]
    advice: tuple[str, ...]
    """What to do, in order; empty where everything is in order."""
    changes: tuple[Change, ...] = ()
    """What --create did."""
    probes: tuple[Probe, ...] = ()
    """What --probe tried."""

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
        """Those that `migrate` can't get past: an extension it may create itself is none."""
        return tuple(extension for extension in self.extensions if extension.blocks_migration)
