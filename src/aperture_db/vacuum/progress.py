"""Runs a statement while its progress is watched, and computes how much of a VACUUM is done.

The work on a table consists of stages, each with a weight in units of one heap page read. A stage
whose inner progress the server does not report (an index; before PostgreSQL 17 all indexes) counts
as not begun until it has ended, so the fraction may lag behind but never runs ahead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import TracebackType
from typing import Self

import psycopg
from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.errors import ApertureDbError
from aperture_db.postgres.activity import Session, find_sessions
from aperture_db.postgres.connection import connect
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target
from aperture_db.vacuum.report import PlannedTable, TableIndex, VacuumMode

# Measured on 8,000 vectors of 384 dimensions with a quarter deleted: VACUUM takes 9 ms per page of
# an HNSW index and a build 4 ms, against 0.02 ms per page of a heap.
BTREE_WEIGHT = 2.0
HNSW_VACUUM_WEIGHT = 400.0
HNSW_BUILD_WEIGHT = 200.0
HEAP_VACUUM_WEIGHT = 0.5
CLEANUP_WEIGHT = 0.1
REWRITE_WEIGHT = 4.0
# ANALYZE reads at most 300 x default_statistics_target (100) pages.
ANALYZED_PAGES = 30_000
ANALYZE_OVERHEAD = 10.0
CANCEL_RETRY_SECONDS = 1.0
CANCEL_TIMEOUT_SECONDS = 5.0
# The share of REINDEX CONCURRENTLY that is the build; the rest waits for others and validates.
BUILD_SHARE = 0.8


class Stage(StrEnum):
    """A part of the work on a table; the members are in order."""

    REBUILD = "rebuilding HNSW index"
    REWRITE = "rewriting the table"
    REWRITE_INDEXES = "building indexes"
    SCAN = "scanning rows"
    INDEXES = "vacuuming indexes"
    HEAP = "removing dead rows"
    CLEANUP = "cleaning up indexes"
    TOAST = "vacuuming TOAST"
    ANALYZE = "analyzing"


VACUUM_PHASES = {
    "initializing": Stage.SCAN,
    "scanning heap": Stage.SCAN,
    "vacuuming indexes": Stage.INDEXES,
    "vacuuming heap": Stage.HEAP,
    "cleaning up indexes": Stage.CLEANUP,
    "truncating heap": Stage.CLEANUP,
    "performing final cleanup": Stage.CLEANUP,
}
PHASES_OF_KNOWN_BLOCKS = ("scanning heap", "vacuuming heap")


@dataclass(frozen=True)
class ProgressRow:
    """A row of the query vacuum/progress."""

    kind: str
    relid: int
    phase: str
    blocks_done: int
    blocks_total: int
    indexes_done: int | None
    indexes_total: int | None
    waits_for_pid: int | None


@dataclass(frozen=True)
class Observation:
    """The server's position in the work on a table."""

    stage: Stage
    fraction: float
    """Of the stage, from 0 to 1."""
    detail: str = ""
    waits_for_pid: int | None = None

    def __str__(self) -> str:
        return f"{self.stage}, {self.detail}" if self.detail else str(self.stage)


def weigh(table: PlannedTable, mode: VacuumMode) -> dict[Stage, float]:
    """Weigh every stage of the work on a table, in order."""
    heap = float(max(1, table.heap_pages))
    analyze = min(heap, ANALYZED_PAGES) + ANALYZE_OVERHEAD
    if mode is VacuumMode.ANALYZE:
        return {Stage.ANALYZE: analyze}
    if mode is VacuumMode.FULL:
        return {
            Stage.REWRITE: REWRITE_WEIGHT * (heap + table.toast_pages),
            Stage.REWRITE_INDEXES: sum(map(_build_weight, table.indexes)),
            Stage.ANALYZE: analyze,
        }
    has_dead_rows = table.before.dead_rows != 0
    return {
        Stage.REBUILD: sum(map(_build_weight, table.rebuilds)),
        Stage.SCAN: heap,
        Stage.INDEXES: sum(_vacuum_weights(table)) if has_dead_rows else 0.0,
        Stage.HEAP: HEAP_VACUUM_WEIGHT * heap if has_dead_rows else 0.0,
        Stage.CLEANUP: CLEANUP_WEIGHT * sum(index.pages for index in table.indexes),
        Stage.TOAST: float(table.toast_pages),
        Stage.ANALYZE: analyze,
    }


def _build_weight(index: TableIndex) -> float:
    return max(1, index.pages) * (HNSW_BUILD_WEIGHT if index.is_hnsw else BTREE_WEIGHT)


def _vacuum_weights(table: PlannedTable) -> list[float]:
    """Weigh each index. A rebuilt HNSW index has no dead rows, so VACUUM only reads it."""
    rebuilt = {index.oid for index in table.rebuilds}
    return [
        index.pages * HNSW_VACUUM_WEIGHT
        if index.is_hnsw and index.oid not in rebuilt
        else index.pages * BTREE_WEIGHT
        for index in table.indexes
    ]


def fraction_of_table(weights: Mapping[Stage, float], seen: Observation) -> float:
    """Compute the share of a table's work that is done, from 0 to 1."""
    total = sum(weights.values())
    order = list(weights)
    if seen.stage not in order or not total:
        return 0.0
    position = order.index(seen.stage)
    done = sum(weights[stage] for stage in order[:position])
    return (done + weights[seen.stage] * min(1.0, seen.fraction)) / total


def observe(
    rows: Sequence[ProgressRow], table: PlannedTable, rebuilt_count: int
) -> Observation | None:
    """Interpret the rows of the progress views for a table; None if they show nothing of it.

    `rebuilt_count` is the number of its HNSW indexes that are already rebuilt.
    """
    if not rows:
        return None
    # An autovacuum may be at the TOAST table while we are at the table itself.
    row = max(rows, key=lambda row: row.relid != table.toast_oid)
    match row.kind:
        case "reindex" if not table.rebuilds:
            return None
        case "reindex":
            return _observe_rebuild(row, table, rebuilt_count)
        case "rewrite":
            return _observe_rewrite(row, table)
        case "analyze":
            return Observation(Stage.ANALYZE, _share(row.blocks_done, row.blocks_total))
        case _ if row.relid == table.toast_oid:
            known = row.phase in PHASES_OF_KNOWN_BLOCKS
            return Observation(
                Stage.TOAST, _share(row.blocks_done, row.blocks_total) / 2 if known else 0.5
            )
        case _:
            return _observe_vacuum(row, table)


def _observe_vacuum(row: ProgressRow, table: PlannedTable) -> Observation:
    stage = VACUUM_PHASES.get(row.phase, Stage.CLEANUP)
    if stage not in (Stage.INDEXES, Stage.CLEANUP):
        return Observation(stage, _share(row.blocks_done, row.blocks_total))
    if row.indexes_done is None or not row.indexes_total:
        return Observation(stage, 0.0)
    # Parallel workers finish indexes in any order: count the cheapest as done.
    weights = sorted(_vacuum_weights(table))
    share = _share(sum(weights[: row.indexes_done]), sum(weights))
    at_work = min(row.indexes_done + 1, row.indexes_total)
    return Observation(stage, share, f"index {at_work} of {row.indexes_total}")


def _observe_rewrite(row: ProgressRow, table: PlannedTable) -> Observation:
    if not row.phase.startswith("rebuilding"):
        return Observation(Stage.REWRITE, _share(row.blocks_done, row.blocks_total))
    done = row.indexes_done or 0
    weights = sorted(map(_build_weight, table.indexes))
    at_work = min(done + 1, len(weights))
    return Observation(
        Stage.REWRITE_INDEXES,
        _share(sum(weights[:done]), sum(weights)),
        f"index {at_work} of {len(weights)}",
    )


def _observe_rebuild(row: ProgressRow, table: PlannedTable, rebuilt_count: int) -> Observation:
    if row.phase.startswith("building index"):
        share = BUILD_SHARE * _share(row.blocks_done, row.blocks_total)
    elif row.phase in ("initializing", "waiting for writers before build"):
        share = 0.0
    else:
        share = BUILD_SHARE
    at_work = table.rebuilds[min(rebuilt_count, len(table.rebuilds) - 1)]
    weights = list(map(_build_weight, table.rebuilds))
    done = sum(weights[:rebuilt_count]) + share * _build_weight(at_work)
    detail = f"{at_work.name} ({row.phase})" if row.phase.startswith("waiting") else at_work.name
    return Observation(Stage.REBUILD, _share(done, sum(weights)), detail, row.waits_for_pid)


def _share(done: float, total: float) -> float:
    return min(1.0, done / total) if total > 0 else 0.0


class Meter:
    """The fraction of a whole run. It never falls, and is below 1 until the run has ended."""

    HIGHEST_UNFINISHED = 0.99

    def __init__(self, tables: Sequence[PlannedTable], mode: VacuumMode) -> None:
        self._weights = {table.table.oid: weigh(table, mode) for table in tables}
        self._total = sum(sum(weights.values()) for weights in self._weights.values())
        self._done: dict[int, float] = {}
        self.reached = 0.0

    def see(self, table: PlannedTable, seen: Observation) -> float:
        """Note the position in a table's work; returns the fraction of the run."""
        return self._note(table, fraction_of_table(self._weights[table.table.oid], seen))

    def finish(self, table: PlannedTable) -> float:
        """Note the end of a table's work; returns the fraction of the run."""
        return self._note(table, 1.0)

    def _note(self, table: PlannedTable, share: float) -> float:
        oid = table.table.oid
        self._done[oid] = share * sum(self._weights[oid].values())
        fraction = min(_share(sum(self._done.values()), self._total), self.HIGHEST_UNFINISHED)
        self.reached = max(self.reached, fraction)
        return self.reached


class ProgressWatch:
    """Reads the progress views through a connection of its own.

    A context manager. Without that connection, or after losing it, it sees nothing: the work does
    not depend on it.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._conn: Connection | None = None
        self._is_blind = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._conn is not None:
            self._conn.close()

    def look(self, table: PlannedTable) -> list[ProgressRow]:
        """Read the progress of the work on a table and on its TOAST table."""
        oids = [table.table.oid, *filter(None, [table.toast_oid])]
        conn = self._open()
        if conn is None:
            return []
        try:
            with conn.cursor(row_factory=class_row(ProgressRow)) as cursor:
                return cursor.execute(sql.load("vacuum/progress"), {"oids": oids}).fetchall()
        except psycopg.Error:
            self._is_blind = True
            return []

    def find_session(self, pid: int) -> Session | None:
        """Find the session with this process id; None if it is gone."""
        conn = self._open()
        if conn is None:
            return None
        try:
            return find_sessions(conn, [pid]).get(pid)
        except psycopg.Error:
            self._is_blind = True
            return None

    def _open(self) -> Connection | None:
        if self._conn is None and not self._is_blind:
            try:
                self._conn = connect(self._target)
            except ApertureDbError:
                self._is_blind = True
        return None if self._is_blind else self._conn


class RunningWork:
    """Runs a function on a connection in a thread of its own.

    Leaving the block early cancels its statement on the server and waits for its end. Sets
    `ended_one` at the end.
    """

    def __init__(
        self, conn: Connection, work: Callable[[], object], ended_one: threading.Event
    ) -> None:
        self._conn = conn
        self._work = work
        self._ended_one = ended_one
        self._error: Exception | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while not self._ended.is_set():
            # A cancellation that arrives before the server has begun the statement is lost.
            with suppress(psycopg.Error):
                self._conn.cancel_safe(timeout=CANCEL_TIMEOUT_SECONDS)
            self._ended.wait(CANCEL_RETRY_SECONDS)
        self._thread.join(CANCEL_TIMEOUT_SECONDS)

    def is_over(self) -> bool:
        """Return True once the function has returned. Raises its error."""
        if self._ended.is_set() and self._error is not None:
            raise self._error
        return self._ended.is_set()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self._error = error
        finally:
            self._ended.set()
            self._ended_one.set()


def read_clock(conn: Connection) -> Callable[[], datetime]:
    """Read the server's clock once; returns a function that tells its time from then on."""
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    server_start, start = row[0], time.monotonic()
    return lambda: server_start + timedelta(seconds=time.monotonic() - start)
