"""How much of a VACUUM is done, from what the server's progress views tell.

A table's work is a row of stages, each with a weight in units of one heap page read. A stage
whose inner progress the server does not tell (an index, before PostgreSQL 17 all indexes) counts
as not begun until it is over, so the figure lags behind the truth and never runs ahead of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aperture_db.vacuum.report import Index, Mode, PlannedTable

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
# The share of REINDEX CONCURRENTLY that is the build; the rest waits for others and validates.
BUILD_SHARE = 0.8


class Stage(StrEnum):
    """One part of the work on a table, in the order in which they come."""

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
    """A row of vacuum/progress.sql."""

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
    """Where the server is in one table's work."""

    stage: Stage
    fraction: float
    """Of the stage, from 0 to 1."""
    detail: str = ""
    waits_for_pid: int | None = None

    def __str__(self) -> str:
        return f"{self.stage}, {self.detail}" if self.detail else str(self.stage)


def weigh(table: PlannedTable, mode: Mode) -> dict[Stage, float]:
    """The weight of every stage of the table's work, in order."""
    heap = float(max(1, table.heap_pages))
    analyze = min(heap, ANALYZED_PAGES) + ANALYZE_OVERHEAD
    if mode is Mode.ANALYZE:
        return {Stage.ANALYZE: analyze}
    if mode is Mode.FULL:
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


def _build_weight(index: Index) -> float:
    return max(1, index.pages) * (HNSW_BUILD_WEIGHT if index.is_hnsw else BTREE_WEIGHT)


def _vacuum_weights(table: PlannedTable) -> list[float]:
    """By index. A rebuilt HNSW index has no dead rows, and VACUUM only reads it."""
    rebuilt = {index.oid for index in table.rebuilds}
    return [
        index.pages * HNSW_VACUUM_WEIGHT
        if index.is_hnsw and index.oid not in rebuilt
        else index.pages * BTREE_WEIGHT
        for index in table.indexes
    ]


def fraction_of_table(weights: Mapping[Stage, float], seen: Observation) -> float:
    """The share of the table's work that is done; stages before the one seen count as done."""
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
    """What the views tell about the table's work; None where they tell nothing right now.

    `rebuilt_count` is how many of its HNSW indexes have been rebuilt already.
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
    """The fraction of a whole run. It never falls, and is 1 only when the last table is done."""

    HIGHEST_UNFINISHED = 0.99

    def __init__(self, tables: Sequence[PlannedTable], mode: Mode) -> None:
        self._weights = {table.table.oid: weigh(table, mode) for table in tables}
        self._total = sum(sum(weights.values()) for weights in self._weights.values())
        self._finished = 0.0
        self._highest = 0.0

    @property
    def reached(self) -> float:
        return self._highest

    def see(self, table: PlannedTable, seen: Observation) -> float:
        """The fraction while a table is at work."""
        weights = self._weights[table.table.oid]
        done = self._finished + sum(weights.values()) * fraction_of_table(weights, seen)
        self._raise_to(done)
        return self._highest

    def finish(self, table: PlannedTable) -> float:
        """The fraction after a table is done."""
        self._finished += sum(self._weights[table.table.oid].values())
        self._raise_to(self._finished)
        return self._highest

    def _raise_to(self, done: float) -> None:
        share = min(_share(done, self._total), self.HIGHEST_UNFINISHED)
        self._highest = max(self._highest, share)
