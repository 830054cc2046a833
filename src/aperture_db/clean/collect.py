"""Counts what can go and the space it holds. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import class_row

from aperture_db import aperture
from aperture_db import sql as queries
from aperture_db.clean.doomed import NEEDED_TABLES, Doomed, Scene, find_doomed
from aperture_db.clean.kinds import DESCRIPTIONS, Kind, Limits
from aperture_db.clean.report import CleanReport, KindReport, TablePart, Way
from aperture_db.errors import ApertureDbError
from aperture_db.format import list_some
from aperture_db.postgres.catalog import (
    Table,
    grants_to_read,
    read_database,
    read_tables,
    readable_tables,
    visible_tables,
)
from aperture_db.postgres.connection import Connection, set_local

LOCK_TIMEOUT = "2s"
# From 0109 on, schedules have minutes; job names did not change after that.
JOBS_MARK = ("job_config", "schedule_interval_minutes")
# Line pointer and header of a row in the heap.
ROW_OVERHEAD_BYTES = 28


@dataclass(frozen=True)
class Measure:
    rows: int
    width_bytes: int


@dataclass(frozen=True)
class Space:
    """What a table takes beyond an empty one."""

    data_bytes: int
    """Heap and TOAST."""
    index_bytes: int
    total_bytes: int
    """With what an empty one takes."""


def collect(
    conn: Connection,
    kinds: Iterable[Kind] = tuple(Kind),
    limits: Limits | None = None,
    *,
    lock_timeout: str | None = LOCK_TIMEOUT,
) -> CleanReport:
    """How much can go, of each of these kinds.

    Needs SELECT on the tables concerned; a kind that can't be read is marked so. Belongs into an
    open transaction, which gives all counts one snapshot. Raises LockNotAvailable when a table is
    locked for longer than `lock_timeout`; None leaves the transaction's own.
    """
    limits = limits or Limits()
    if lock_timeout is not None:
        set_local(conn, lock_timeout=lock_timeout)
    database = read_database(conn)
    scene, readable = read_scene(conn)
    reports = []
    for kind in kinds:
        report = _obstacle(kind, scene, readable, database.role)
        reports.append(report or _measured(conn, kind, scene, limits))
    return CleanReport(database.name, tuple(reports), limits, scene.active)


def refuse_unknown(plan: CleanReport) -> None:
    """Raise ApertureDbError for a kind about which nothing is known: it can't be deleted."""
    for kind in plan.unknown:
        raise ApertureDbError(
            f"{kind.kind} can't be deleted",
            why=str(kind.unknown),
            next_step=f"as the owner or a superuser run: {kind.grant}"
            if kind.grant
            else "leave it out",
            code="no_privilege" if kind.grant else "unknown",
        )


def read_scene(conn: Connection) -> tuple[Scene, Mapping[str, Table]]:
    """Aperture's tables, and those of them that may be read; empty in any other database."""
    tables = read_tables(conn)
    visible = visible_tables(tables)
    if not aperture.is_aperture(visible):
        return Scene({}, (), None), {}
    readable = readable_tables(tables)
    embedding_tables = aperture.read_embedding_tables(conn)
    active = aperture.read_active_model(conn, embedding_tables, readable)
    return Scene(visible, tuple(embedding_tables), active), readable


def parameters(limits: Limits) -> dict[str, object]:
    """The values that the queries of sql/clean name."""
    return {
        "runs_per_job": limits.runs_per_job,
        "cache_age_seconds": limits.cache_age_seconds,
        "error_age_seconds": limits.error_age_seconds,
        "dead_jobs": sorted(aperture.DEAD_JOBS),
    }


def _obstacle(
    kind: Kind, scene: Scene, readable: Mapping[str, Table], role: str
) -> KindReport | None:
    """Why nothing can be said about a kind; None when it can."""
    needed = list(NEEDED_TABLES.get(kind, ()))
    if kind in (Kind.LEGACY_EMBEDDINGS, Kind.STALE_EMBEDDINGS):
        legacy = kind is Kind.LEGACY_EMBEDDINGS
        needed += [table.name for table in scene.embedding_tables if table.is_legacy is legacy]
    present = [scene.tables[name] for name in needed if name in scene.tables]
    denied = [table for table in present if table.name not in readable]
    if denied:
        return _unknown(
            kind,
            f"role {role} may not read {list_some(table.name for table in denied)}",
            grant=" ".join(grants_to_read(denied, role)),
        )
    if kind is Kind.STALE_EMBEDDINGS and scene.active is None:
        return _unknown(kind, "no embedding model is known to be in use")
    if kind is Kind.DEAD_JOBS and "job_config" in scene.tables and not scene.has(*JOBS_MARK):
        return _unknown(kind, "older versions of Aperture may still use these names")
    return None


def _unknown(kind: Kind, why: str, *, grant: str | None = None) -> KindReport:
    return KindReport(
        kind, DESCRIPTIONS[kind], None, None, is_size_exact=False, unknown=why, grant=grant
    )


def _measured(conn: Connection, kind: Kind, scene: Scene, limits: Limits) -> KindReport:
    parts = [measure(conn, doomed, limits) for doomed in find_doomed(kind, scene)]
    parts = [part for part in parts if part.rows]
    return KindReport(
        kind=kind,
        description=DESCRIPTIONS[kind],
        rows=sum(part.rows for part in parts),
        size_bytes=sum(part.size_bytes for part in parts),
        is_size_exact=all(part.way is Way.TRUNCATE for part in parts),
        tables=tuple(parts),
        note=_note(conn, kind, scene) if parts else None,
    )


def measure(conn: Connection, doomed: Doomed, limits: Limits) -> TablePart:
    """Rows of one table that can go, and the space they hold."""
    going = _measure(conn, doomed.select(_width(doomed.table)), limits)
    if not going.rows:
        return TablePart(doomed.table.name, 0, 0, Way.DELETE)
    everything = sql.SQL("SELECT {} FROM {} AS doomed").format(
        _width(doomed.table), doomed.table.identifier
    )
    whole = _measure(conn, everything, limits)
    space = read_space(conn, doomed.table)
    size = space.data_bytes * going.width_bytes / whole.width_bytes
    size += space.index_bytes * going.rows / whole.rows
    emptied = doomed.may_empty and doomed.table.may_truncate and going.rows == whole.rows
    way = Way.TRUNCATE if emptied else Way.DELETE
    return TablePart(doomed.table.name, going.rows, round(size), way)


def _width(table: Table) -> sql.Composed:
    """The stored size of a row's values, TOASTed ones included, without reading those."""
    sizes = [
        sql.SQL("coalesce(pg_column_size(doomed.{}), 0)").format(sql.Identifier(name))
        for name in table.columns
    ]
    return sql.SQL(" + ").join([sql.Literal(ROW_OVERHEAD_BYTES), *sizes])


def _measure(conn: Connection, rows: sql.Composed, limits: Limits) -> Measure:
    query = sql.SQL(queries.load("clean/measure")).format(rows=rows)
    with conn.cursor(row_factory=class_row(Measure)) as cursor:
        row = cursor.execute(query, parameters(limits)).fetchone()
    assert row is not None
    return row


def read_space(conn: Connection, table: Table) -> Space:
    with conn.cursor(row_factory=class_row(Space)) as cursor:
        row = cursor.execute(queries.load("clean/space"), {"oid": table.oid}).fetchone()
    assert row is not None, table.name
    return row


def _note(conn: Connection, kind: Kind, scene: Scene) -> str | None:
    if kind is not Kind.STALE_EMBEDDINGS or scene.active is None:
        return None
    for embeddings in scene.embedding_tables:
        if scene.active.is_kept_in(embeddings):
            query = sql.SQL(queries.load("clean/has_model")).format(table=embeddings.identifier)
            names = list(scene.active.names_in(embeddings))
            if conn.execute(query, {"models": names}).fetchone() == (True,):
                return None
    return (
        f"{scene.active.id} is in use and has no embeddings yet: "
        "with these gone, nothing can be searched until its jobs have run"
    )
