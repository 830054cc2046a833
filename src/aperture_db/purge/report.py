"""The plan and the outcome of a purge: one shape for the tables, --json and --dry-run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from aperture_db.aperture.kinds import Group
from aperture_db.postgres.activity import LockMode
from aperture_db.postgres.catalog import Table, TableSize
from aperture_db.purge import PurgeOptions, PurgeTarget
from aperture_db.relink.report import KeptCounts


class Strategy(StrEnum):
    """The way in which rows are removed from a table."""

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
    """To be deleted."""
    rows_before: int
    size_bytes: int
    """Of the table with TOAST and indexes, before."""
    way: Strategy


@dataclass(frozen=True)
class Update:
    """Columns of a table that get another value in rows that are kept."""

    table: str
    columns: tuple[str, ...]
    value: str
    """The new value, as SQL."""
    rows: int
    effect: str
    """The consequence for users."""


@dataclass(frozen=True)
class Unrecoverable:
    """Data that no job can bring back."""

    what: str
    rows: int
    why: str


@dataclass(frozen=True)
class PurgeWarning:
    """A warning that applies to this database now."""

    code: str
    text: str


@dataclass(frozen=True)
class MissingPrivilege:
    """A privilege that the purge needs and the role lacks."""

    privilege: str
    tables: tuple[str, ...]
    grant: str
    """The statement for the owner of the tables."""


@dataclass(frozen=True)
class JobToRun:
    """A job of Aperture to run after the purge."""

    name: str
    is_optional: bool
    note: str
    then: str = ""
    """A command of this tool to run when the job is done."""


@dataclass(frozen=True)
class TableLock:
    """A lock that the purge takes on a table."""

    table: Table
    mode: LockMode


@dataclass(frozen=True)
class Preparation:
    """Findings of the plan that the execution needs."""

    role: str
    """The role whose privileges apply."""
    locks: tuple[TableLock, ...]
    sizes: Mapping[int, TableSize]
    """Of the tables that lose rows, by oid."""


@dataclass(frozen=True)
class PurgePlan:
    """Everything that a purge is going to do, counted exactly."""

    what: PurgeTarget
    options: PurgeOptions
    deletions: tuple[Deletion, ...]
    updates: tuple[Update, ...]
    kept: tuple[str, ...]
    losses: tuple[Unrecoverable, ...]
    warnings: tuple[PurgeWarning, ...]
    missing_privileges: tuple[MissingPrivilege, ...]
    """The purge is refused until these are granted."""
    first: tuple[str, ...]
    """Steps before the purge."""
    then: tuple[str, ...]
    """Manual steps after the purge, before the jobs."""
    jobs: tuple[JobToRun, ...]
    """Jobs to run afterwards, in order."""
    rows: int
    """To be deleted in all tables: the number that --expect-rows is compared with."""
    updated_rows: int
    dropped_kept_rows: int
    """Rows that an earlier purge kept for relink and that this one drops."""
    planned_at: datetime
    user_data: KeptCounts | None
    """Identities and rows that the purge keeps for relink; None where it keeps none."""
    preparation: Preparation | None = field(repr=False, metadata={"json": False})
    """None only for a plan that is not to be carried out."""


@dataclass(frozen=True)
class TableOutcome:
    """Rows that were deleted from one table."""

    table: str
    rows: int
    planned_rows: int


@dataclass(frozen=True)
class UpdateOutcome:
    """Rows of one table that were updated."""

    table: str
    columns: tuple[str, ...]
    rows: int
    planned_rows: int


@dataclass(frozen=True)
class PurgeOutcome:
    """The result of a committed purge."""

    deleted: tuple[TableOutcome, ...]
    updated: tuple[UpdateOutcome, ...]
    rows: int
    updated_rows: int
    duration_seconds: float
    """From the first lock to the last table whose space was returned."""
    size_before_bytes: int | None
    """Of the database; None where it could not be read."""
    size_after_bytes: int | None
    freed_bytes: int | None
    not_shrunk: tuple[str, ...]
    """Tables whose space could not be returned to the operating system."""
    shrink_command: str | None = field(default=None, metadata={"json": False})
    """The command that returns it later."""


@dataclass(frozen=True)
class PurgeReport:
    """A plan with its outcome: None for a dry run or a purge that did not happen."""

    plan: PurgePlan
    is_dry_run: bool
    outcome: PurgeOutcome | None = None
    command: str = field(default="", metadata={"json": False})
    """The command that carries out the plan of a dry run."""
    backup: str | None = None
    """The file of the backup that was made before."""
    undo_command: str | None = None
    """The command that restores that backup."""
    ratings_file: str | None = None
    """The file to which the ratings were exported before."""
