"""What a VACUUM is about to do, what it is at, and what it did."""

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


class Mode(StrEnum):
    """What is done to every table."""

    VACUUM = "vacuum"
    """VACUUM (ANALYZE)."""
    REINDEX_HNSW = "reindex_hnsw"
    """REINDEX INDEX CONCURRENTLY for HNSW indexes, then VACUUM (ANALYZE)."""
    FULL = "full"
    """VACUUM (FULL, ANALYZE): rewrites the table under an exclusive lock."""
    ANALYZE = "analyze"
    """ANALYZE only."""


@dataclass(frozen=True)
class Index:
    """One index of a table."""

    table_oid: int = field(metadata=INTERNAL)
    oid: int = field(metadata=INTERNAL)
    schema: str
    name: str
    is_hnsw: bool
    is_valid: bool
    pages: int
    """Zero where a lock kept them from being counted, as a rule."""

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True)
class Figures:
    """A table before or after. None where a lock or a standby keeps a figure from us."""

    dead_rows: int | None
    """As the cumulative statistics estimate them."""
    total_bytes: int | None
    """With TOAST and indexes."""


@dataclass(frozen=True)
class PlannedTable:
    """One table and what will be done to it."""

    name: str
    """Bare where the search_path finds it, else with its schema."""
    owner: str
    may_vacuum: bool
    live_rows: int
    before: Figures
    rebuilds: tuple[Index, ...]
    """HNSW indexes to be rebuilt first."""
    held_by: tuple[Session, ...]
    """Sessions whose locks are in the way right now."""
    table: Table = field(metadata=INTERNAL)
    indexes: tuple[Index, ...] = field(metadata=INTERNAL)
    toast_oid: int = field(metadata=INTERNAL)
    heap_pages: int = field(metadata=INTERNAL)
    toast_pages: int = field(metadata=INTERNAL)

    @property
    def dead_share(self) -> float:
        """Dead rows of all rows."""
        dead = self.before.dead_rows or 0
        return dead / max(1, dead + self.live_rows)

    @property
    def is_rebuild_faster(self) -> bool:
        """Whether rebuilding its HNSW indexes would beat vacuuming them."""
        return (
            any(index.is_hnsw for index in self.indexes)
            and (self.before.dead_rows or 0) >= MIN_OFFERED_ROWS
            and self.dead_share > REBUILD_SHARE
        )


@dataclass(frozen=True)
class VacuumPlan:
    """The tables in the order in which they will be worked on: quick ones first."""

    mode: Mode
    tables: tuple[PlannedTable, ...]
    offers: tuple[str, ...]
    """Tables on which --reindex-hnsw would be faster."""
    cautions: tuple[str, ...] = ()
    """What to know before it starts."""


class Outcome(StrEnum):
    DONE = "done"
    SKIPPED = "skipped"
    """The server did not work on it: a lock, or no right to."""
    FAILED = "failed"
    GONE = "gone"
    """Dropped by somebody else meanwhile."""


@dataclass(frozen=True)
class TableResult:
    """What became of one table."""

    name: str
    outcome: Outcome
    before: Figures
    after: Figures
    duration_seconds: float
    rebuilt_indexes: tuple[str, ...] = ()
    reason: str = ""
    """Why it was not done; empty where it was."""
    advice: str = ""

    @property
    def is_problem(self) -> bool:
        return self.outcome in (Outcome.SKIPPED, Outcome.FAILED)


@dataclass(frozen=True)
class SnapshotHolder:
    """What keeps dead rows from being removed."""

    kind: str
    """session, standby, prepared transaction or replication slot."""
    name: str | None
    """Of the slot or prepared transaction; of the database where a session is in another one."""
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
        """The statement that ends it."""
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
    """What was done, as far as it got."""

    mode: Mode
    results: tuple[TableResult, ...]
    remaining: tuple[str, ...]
    """Tables that were not reached."""
    unremovable_rows: int
    """Dead rows that something still needs."""
    snapshot_holders: tuple[SnapshotHolder, ...]
    duration_seconds: float

    @property
    def problems(self) -> tuple[TableResult, ...]:
        return tuple(result for result in self.results if result.is_problem)
