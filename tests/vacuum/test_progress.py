"""Progress that is true: it never falls, and never stands at 100 % while work goes on."""

from __future__ import annotations

import pytest
from psycopg import sql

from aperture_db.postgres.catalog import Table
from aperture_db.postgres.connection import connect
from aperture_db.postgres.settings import resolve_target
from aperture_db.progress import Progress
from aperture_db.vacuum import plan, vacuum_tables
from aperture_db.vacuum.progress import (
    Meter,
    Observation,
    ProgressRow,
    Stage,
    fraction_of_table,
    observe,
    weigh,
)
from aperture_db.vacuum.report import (
    PlannedTable,
    TableFinished,
    TableIndex,
    VacuumMode,
    VacuumStats,
)
from tests.vacuum.filling import slowed


def index(oid: int, *, is_hnsw: bool = False, pages: int = 100) -> TableIndex:
    return TableIndex(1, oid, "public", f"index_{oid}", is_hnsw, is_valid=True, pages=pages)


def planned(mode: VacuumMode = VacuumMode.VACUUM, dead_rows: int = 250) -> PlannedTable:
    hnsw = index(12, is_hnsw=True, pages=500)
    return PlannedTable(
        name="embeddings_768",
        owner="aperture",
        may_vacuum=True,
        live_rows=750,
        before=VacuumStats(dead_rows, 8_000_000),
        rebuilds=(hnsw,) if mode is VacuumMode.REINDEX_HNSW else (),
        held_by=(),
        table=Table(
            oid=1, schema="public", name="embeddings_768", kind="r", columns=[], owner="aperture",
            is_visible=True, is_populated=True, may_enter_schema=True, hides_rows=False,
            hides_from_owner=False, may_select=True, may_count=True, may_update=True,
            may_delete=True, may_truncate=True, is_owner=True, analyzed_rows=1000,
            analyzed_pages=300, dead_rows=dead_rows,
        ),
        indexes=(index(10), index(11), hnsw),
        toast_oid=2,
        heap_pages=300,
        toast_pages=40,
    )  # fmt: skip


def row(
    phase: str,
    done: int = 0,
    total: int = 300,
    *,
    kind: str = "vacuum",
    relid: int = 1,
    indexes: tuple[int, int] | None = None,
) -> ProgressRow:
    indexes_done, indexes_total = indexes or (None, None)
    return ProgressRow(kind, relid, phase, done, total, indexes_done, indexes_total, None)


# The phases of VACUUM (ANALYZE) in order, from PostgreSQL 17 on and before.
SINCE_17 = [
    row("initializing"),
    row("scanning heap", 150),
    row("scanning heap", 300),
    row("vacuuming indexes", 300, indexes=(0, 3)),
    row("vacuuming indexes", 300, indexes=(1, 3)),
    row("vacuuming indexes", 300, indexes=(2, 3)),
    row("vacuuming heap", 200),
    row("vacuuming heap", 300),
    row("cleaning up indexes", 300, indexes=(2, 3)),
    row("truncating heap", 300),
    row("performing final cleanup", 300),
    row("scanning heap", 20, 40, relid=2),
    row("vacuuming indexes", 40, 40, relid=2),
    row("acquiring sample rows", 100, 300, kind="analyze"),
    row("computing statistics", 300, 300, kind="analyze"),
]
BEFORE_17 = [
    ProgressRow(r.kind, r.relid, r.phase, r.blocks_done, r.blocks_total, None, None, None)
    for r in SINCE_17
]
FULL = [
    row("seq scanning heap", 100, kind="rewrite"),
    ProgressRow("rewrite", 1, "rebuilding index", 300, 300, 0, None, None),
    ProgressRow("rewrite", 1, "rebuilding index", 300, 300, 2, None, None),
    ProgressRow("rewrite", 1, "performing final cleanup", 300, 300, 3, None, None),
    row("acquiring sample rows", 300, 300, kind="analyze"),
]
REINDEX = [
    row("waiting for writers before build", 0, 0, kind="reindex"),
    row("building index: loading tuples", 0, 300, kind="reindex"),
    row("building index: loading tuples", 299, 300, kind="reindex"),
    row("building index: loading tuples", 300, 300, kind="reindex"),
    row("waiting for old snapshots", 0, 0, kind="reindex"),
]


@pytest.mark.parametrize(
    ("mode", "rows"),
    [
        (VacuumMode.VACUUM, SINCE_17),
        (VacuumMode.VACUUM, BEFORE_17),
        (VacuumMode.FULL, FULL),
        (VacuumMode.REINDEX_HNSW, REINDEX + SINCE_17),
    ],
    ids=["17 and newer", "before 17", "full", "reindex"],
)
def test_it_rises_and_stays_below_the_whole(mode: VacuumMode, rows: list[ProgressRow]) -> None:
    table = planned(mode)
    meter = Meter([table], mode)
    fractions = []
    rebuilt_count = 0
    for seen_row in rows:
        rebuilt_count = rebuilt_count or int(seen_row.kind == "vacuum")
        seen = observe([seen_row], table, rebuilt_count)
        assert seen is not None
        fractions.append(meter.see(table, seen))
    assert fractions == sorted(fractions)
    assert fractions[-1] < 1


@pytest.mark.parametrize("rows", [SINCE_17, BEFORE_17], ids=["17 and newer", "before 17"])
def test_while_the_hnsw_index_is_at_work_most_is_still_to_come(rows: list[ProgressRow]) -> None:
    """Nearly all of the time goes there, and the server tells nothing from inside."""
    table = planned()
    weights = weigh(table, VacuumMode.VACUUM)
    for seen_row in rows:
        seen = observe([seen_row], table, 0)
        assert seen is not None
        if seen.stage is Stage.INDEXES:
            assert fraction_of_table(weights, seen) < 0.05


def test_the_position_among_the_indexes_is_told_where_the_server_tells_it() -> None:
    table = planned()
    newer = observe([row("vacuuming indexes", 300, indexes=(2, 3))], table, 0)
    older = observe([row("vacuuming indexes", 300)], table, 0)
    assert str(newer) == "vacuuming indexes, index 3 of 3"
    assert str(older) == "vacuuming indexes"


def test_a_rebuild_is_named_with_what_it_waits_for() -> None:
    table = planned(VacuumMode.REINDEX_HNSW)
    waiting = ProgressRow("reindex", 1, "waiting for old snapshots", 0, 0, None, None, 42)
    seen = observe([waiting], table, 0)
    assert seen is not None
    assert str(seen) == "rebuilding HNSW index, index_12 (waiting for old snapshots)"
    assert seen.waits_for_pid == 42


def test_an_autovacuum_of_the_toast_table_is_not_taken_for_ours() -> None:
    rows = [row("scanning heap", 1, 40, relid=2), row("scanning heap", 150)]
    assert observe(rows, planned(), 0) == Observation(Stage.SCAN, 0.5)


def test_several_tables_share_the_whole_by_weight() -> None:
    light = planned(dead_rows=0)
    meter = Meter([light], VacuumMode.ANALYZE)
    assert meter.reached == 0
    assert meter.finish(light) == 0.99


@pytest.mark.parametrize("mode", [VacuumMode.VACUUM, VacuumMode.FULL])
def test_on_a_real_server_index_work_is_seen_below_the_whole(
    used_database: str, mode: VacuumMode
) -> None:
    target = resolve_target(slowed(used_database), None, {})
    with connect(target) as conn:
        events = list(vacuum_tables(conn, target, plan(conn, mode, ["movies"]), 5))
        # Older servers don't tell which index it is.
        which = ", index" if conn.info.server_version >= 170000 else ""
    seen = [event for event in events if isinstance(event, Progress)]
    assert all(event.done < 1 for event in seen)
    assert [event.done for event in seen] == sorted(event.done for event in seen)
    if mode is VacuumMode.VACUUM:
        assert any(f"vacuuming indexes{which}" in event.text for event in seen)
    assert isinstance(events[-1], TableFinished)


def test_no_second_connection_means_no_progress_and_nothing_worse(used_database: str) -> None:
    target = resolve_target(slowed(used_database), None, {})
    with connect(target) as conn:
        name, role = conn.info.dbname, "vacuum_alone"
        statements = [
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x' CONNECTION LIMIT 1"),
            sql.SQL("ALTER TABLE public.movies OWNER TO {}"),
            sql.SQL("GRANT CREATE, USAGE ON SCHEMA public TO {}"),
        ]
        for statement in statements:
            conn.execute(statement.format(sql.Identifier(role)))
        try:
            alone = resolve_target(f"{slowed(used_database)} user={role} password=x", None, {})
            with connect(alone) as limited:
                planned_tables = plan(limited, VacuumMode.VACUUM, ["movies"])
                events = list(vacuum_tables(limited, alone, planned_tables, 5))
        finally:
            conn.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
            conn.execute(f"DROP OWNED BY {role}")
            conn.execute(f"DROP ROLE {role}")
    assert name
    assert not [event for event in events if isinstance(event, Progress)]
    finished = events[-1]
    assert isinstance(finished, TableFinished)
    assert finished.result.after.dead_rows == 0
