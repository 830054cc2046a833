"""What vacuum prints, from results made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from aperture_db.postgres.activity import Session
from aperture_db.render.vacuum import render_plan, render_report
from aperture_db.vacuum.report import (
    PlannedTable,
    SnapshotHolder,
    TableIndex,
    TableResult,
    VacuumMode,
    VacuumOutcome,
    VacuumPlan,
    VacuumReport,
    VacuumStats,
)
from tests.described import undescribed
from tests.snapshot import rendered
from tests.vacuum.test_progress import planned

Snapshot = Callable[[str, str], None]

DONE = TableResult(
    "embeddings_768",
    VacuumOutcome.DONE,
    VacuumStats(3000, 69_000_000),
    VacuumStats(0, 62_000_000),
    2.71,
    rebuilt_indexes=("idx_embeddings_768_hnsw",),
)
CLEAN = TableResult(
    "users", VacuumOutcome.DONE, VacuumStats(0, 65_536), VacuumStats(0, 65_536), 0.01
)
HELD = TableResult(
    "similarity_validation_cache",
    VacuumOutcome.SKIPPED,
    VacuumStats(12, None),
    VacuumStats(12, None),
    10.0,
    reason="held by pid 4711, psql, user jane",
    advice="aperture-db vacuum --table similarity_validation_cache",
)


def test_done(snapshot: Snapshot) -> None:
    report = VacuumReport(VacuumMode.REINDEX_HNSW, (CLEAN, DONE), (), 0, (), 2.84)
    snapshot("vacuum/done", rendered(render_report(report)))


def test_skipped(snapshot: Snapshot) -> None:
    report = VacuumReport(VacuumMode.VACUUM, (CLEAN, HELD), (), 0, (), 10.2)
    snapshot("vacuum/skipped", rendered(render_report(report)))


def test_nothing_to_tell(snapshot: Snapshot) -> None:
    report = VacuumReport(VacuumMode.ANALYZE, (CLEAN,), (), 0, (), 0.02)
    snapshot("vacuum/nothing_to_tell", rendered(render_report(report)))


def test_plan(snapshot: Snapshot) -> None:
    foreign = replace(planned(), name="movies", owner="jane", may_vacuum=False)
    held = replace(
        planned(), name="users", held_by=(Session(4711, "psql", "jane", "active", 12.0),)
    )
    plan = VacuumPlan(VacuumMode.VACUUM, (foreign, held, planned()), ("embeddings_768",))
    snapshot("vacuum/plan", rendered(render_plan(plan)))


def test_its_json_is_described() -> None:
    shapes = (
        VacuumReport,
        TableResult,
        VacuumStats,
        SnapshotHolder,
        VacuumPlan,
        PlannedTable,
        TableIndex,
    )
    assert undescribed("vacuum", *shapes, Session) == set()
