"""What a purge is going to do, and what it did. One shape for the table, --json and --dry-run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from aperture_db.aperture import Group
from aperture_db.postgres.catalog import TableSize
from aperture_db.purge.locks import TableLock
from aperture_db.purge.scopes import Options
from aperture_db.purge.what import What


class Way(StrEnum):
    """How rows leave a table."""

    TRUNCATE = "truncate"
    DELETE = "delete"
    SKIP = "skip"
    """There is nothing to do."""
    REBUILD = "rebuild"


@dataclass(frozen=True)
class Deletion:
    """A table that loses rows."""

    table: str
    group: Group | None
    """None for a table that is not Aperture's, reached by a foreign key."""
    rows: int
    """That go."""
    rows_before: int
    size_bytes: int
    """Of the table with TOAST and indexes, before."""
    way: Way


@dataclass(frozen=True)
class Update:
    """Columns of a table that get another value in rows that stay."""

    table: str
    columns: tuple[str, ...]
    value: str
    """The new value, as SQL."""
    rows: int
    effect: str
    """What it means."""


@dataclass(frozen=True)
class Loss:
    """Something that no job can bring back."""

    what: str
    rows: int
    why: str


@dataclass(frozen=True)
class Hazard:
    """A warning that applies to this database now."""

    code: str
    text: str


@dataclass(frozen=True)
class MissingPrivilege:
    """What the role would need for the purge and does not have."""

    privilege: str
    tables: tuple[str, ...]
    grant: str
    """The statement for the owner of the tables."""


@dataclass(frozen=True)
class Job:
    """A job of Aperture's to run afterwards."""

    name: str
    is_optional: bool
    note: str


@dataclass(frozen=True)
class Preparation:
    """What planning found and carrying out needs."""

    role: str
    """Whose privileges apply."""
    locks: tuple[TableLock, ...]
    sizes: Mapping[int, TableSize]
    """Of the tables that lose rows."""


@dataclass(frozen=True)
class PurgePlan:
    """Everything that a purge is going to do, counted exactly."""

    what: What
    options: Options
    deletions: tuple[Deletion, ...]
    updates: tuple[Update, ...]
    kept: tuple[str, ...]
    losses: tuple[Loss, ...]
    warnings: tuple[Hazard, ...]
    missing_privileges: tuple[MissingPrivilege, ...]
    """The purge will be refused until these are granted."""
    first: tuple[str, ...]
    """What to do before."""
    then: tuple[str, ...]
    """What to do by hand afterwards, before the jobs."""
    jobs: tuple[Job, ...]
    """What to run afterwards, in order."""
    rows: int
    """That go, in all tables: what --expect-rows compares."""
    updated_rows: int
    planned_at: datetime
    preparation: Preparation | None = field(repr=False, metadata={"json": False})
    """None only for a plan that is not to be carried out."""


@dataclass(frozen=True)
class TableOutcome:
    """What really happened to one table."""

    table: str
    rows: int
    planned_rows: int


@dataclass(frozen=True)
class UpdateOutcome:
    table: str
    columns: tuple[str, ...]
    rows: int
    planned_rows: int


@dataclass(frozen=True)
class PurgeOutcome:
    """What a purge did. It is committed."""

    deleted: tuple[TableOutcome, ...]
    updated: tuple[UpdateOutcome, ...]
    rows: int
    updated_rows: int
    duration_seconds: float
    """From the first lock to the last table whose space was given back."""
    size_before_bytes: int | None
    """Of the database; None where it could not be asked."""
    size_after_bytes: int | None
    freed_bytes: int | None
    not_shrunk: tuple[str, ...]
    """Tables whose space could not be given back."""
    shrink_command: str | None = field(default=None, metadata={"json": False})
    """What gives it back later."""


@dataclass(frozen=True)
class PurgeReport:
    """The plan, and what came of it: None for a dry run or a purge that did not happen."""

    plan: PurgePlan
    is_dry_run: bool
    outcome: PurgeOutcome | None = None
    command: str = field(default="", metadata={"json": False})
    """What carries the plan of a dry run out."""
    backup: str | None = None
    """The file of the backup that was made before."""
    undo_command: str | None = None
    """What restores that backup."""
    ratings_file: str | None = None
    """The file that the ratings were saved to before."""
