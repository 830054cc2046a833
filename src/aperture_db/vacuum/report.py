"""The plan, the events and the results of a VACUUM."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from psycopg import sql

from aperture_db.postgres.activity import Session
from aperture_db.postgres.catalog import Table

INTERNAL = {"json": False}
# Above this share of dead rows, rebuilding an HNSW index beats vacuuming it (bench/vacuum.py).
REBUILD_SHARE = 0.10
# Fewer dead rows than this take no time either way.
MIN_OFFERED_ROWS = 100


class VacuumMode(StrEnum):
    """The command that is run on every table."""

    VACUUM = "vacuum"
    """VACUUM (ANALYZE)."""
    REINDEX_HNSW = "reindex_hnsw"
    """REINDEX INDEX CONCURRENTLY for HNSW indexes, then VACUUM (ANALYZE)."""
    FULL = "full"
    """VACUUM (FULL, ANALYZE): rewrites the table under an exclusive lock."""
    ANALYZE = "analyze"
    """ANALYZE only."""


@dataclass(frozen=True)
class TableIndex:
    """An index of a table."""

    table_oid: int = field(metadata=INTERNAL)
    oid: int = field(metadata=INTERNAL)
    schema: str
    name: str
    is_hnsw: bool
    is_valid: bool
    pages: int
    """Usually 0 where a lock kept them from being counted."""

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True)
class VacuumStats:
    """A table's dead rows and size at one moment; None where a lock or a standby hides them."""

    dead_rows: int | None
    """The estimate of the cumulative statistics."""
    total_bytes: int | None
    """Including TOAST and indexes."""


@dataclass(frozen=True)
class PlannedTable:
    """A table and the work planned for it."""

    name: str
    """Without its schema where the search_path finds it."""
    owner: str
    may_vacuum: bool
    live_rows: int
    before: VacuumStats
    rebuilds: tuple[TableIndex, ...]
    """HNSW indexes to rebuild first."""
    held_by: tuple[Session, ...]
    """Sessions that hold a conflicting lock at the moment."""
    table: Table = field(metadata=INTERNAL)
    indexes: tuple[TableIndex, ...] = field(metadata=INTERNAL)
    toast_oid: int = field(metadata=INTERNAL)
    heap_pages: int = field(metadata=INTERNAL)
    toast_pages: int = field(metadata=INTERNAL)

    @property
    def dead_share(self) -> float:
        """Dead rows as a share of all rows."""
        dead = self.before.dead_rows or 0
        return dead / max(1, dead + self.live_rows)

    @property
    def is_rebuild_faster(self) -> bool:
        """True if rebuilding its HNSW indexes takes less time than vacuuming them."""
        return (
            any(index.is_hnsw for index in self.indexes)
            and (self.before.dead_rows or 0) >= MIN_OFFERED_ROWS
            and self.dead_share > REBUILD_SHARE
        )


@dataclass(frozen=True)
class VacuumPlan:
    """The tables to vacuum, in order."""

    mode: VacuumMode
    tables: tuple[PlannedTable, ...]
    offers: tuple[str, ...]
    """Tables for which --reindex-hnsw would be faster."""
    cautions: tuple[str, ...] = ()
    """Warnings to give before the work starts."""
    up_to_date_tables: int = 0
    """Number of tables left out because nothing in them changed since the last run."""


class VacuumOutcome(StrEnum):
    """The end of the work on one table."""

    DONE = "done"
    SKIPPED = "skipped"
    """The server skipped it: a lock was held, or a privilege is missing."""
    FAILED = "failed"
    GONE = "gone"
    """Another session dropped the table in the meantime."""


@dataclass(frozen=True)
class TableResult:
    """The outcome for one table, with its statistics before and after."""

    name: str
    outcome: VacuumOutcome
    before: VacuumStats
    after: VacuumStats
    duration_seconds: float
    rebuilt_indexes: tuple[str, ...] = ()
    reason: str = ""
    """Why it was not done; empty where it was done."""
    advice: str = ""

    @property
    def is_problem(self) -> bool:
        return self.outcome in (VacuumOutcome.SKIPPED, VacuumOutcome.FAILED)


@dataclass(frozen=True)
class SnapshotHolder:
    """A session, slot or transaction whose snapshot keeps dead rows from being removed."""

    kind: str
    """session, standby, prepared transaction or replication slot."""
    name: str | None
    """Name of the slot or prepared transaction; for a session in another database, its database."""
    pid: int | None
    application: str
    user: str
    state: str
    transaction_age_seconds: float | None

    def __str__(self) -> str:
        if self.pid is None:
            return f"{self.kind} {self.name}"
        session = Session(
            self.pid, self.application, self.user, self.state, self.transaction_age_seconds
        )
        elsewhere = f" of the database {self.name}" if self.name else ""
        return f"{self.kind}{elsewhere} ({session})"

    @property
    def advice(self) -> str:
        """The statement or step that ends it."""
        name = (self.name or "").replace("'", "''")
        match self.kind:
            case "prepared transaction":
                return f"ROLLBACK PREPARED '{name}';"
            case "replication slot":
                return f"SELECT pg_drop_replication_slot('{name}');"
            case "standby":
                return "turn hot_standby_feedback off on the standby, or end its long queries"
            case _:
                return f"SELECT pg_terminate_backend({self.pid});"


@dataclass(frozen=True)
class VacuumReport:
    """The work done so far, and what remains."""

    mode: VacuumMode
    results: tuple[TableResult, ...]
    remaining: tuple[str, ...]
    """Names of the tables not vacuumed yet."""
    unremovable_rows: int
    """Dead rows that an old snapshot still needs."""
    snapshot_holders: tuple[SnapshotHolder, ...]
    duration_seconds: float
    up_to_date_tables: int = 0
    """Number of tables left out because nothing in them changed since the last run."""

    @property
    def problems(self) -> tuple[TableResult, ...]:
        return tuple(result for result in self.results if result.is_problem)


@dataclass(frozen=True)
class TableStarted:
    """Event: the work on a table begins."""

    name: str
    fraction: float
    """Share of the whole run that is done."""


@dataclass(frozen=True)
class TableFinished:
    """Event: the work on a table has ended, whatever its outcome."""

    result: TableResult
    snapshot_holders: tuple[SnapshotHolder, ...] = ()
    """The oldest snapshots that keep its remaining dead rows, three at most."""
