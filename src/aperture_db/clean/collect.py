"""Counts the rows that can be deleted, and their space. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from psycopg import sql
from psycopg.rows import class_row

from aperture_db import aperture
from aperture_db import sql as queries
from aperture_db.clean import (
    DESCRIPTIONS,
    CleanLimits,
    CleanReport,
    DeleteStrategy,
    Kind,
    KindReport,
    TablePart,
)
from aperture_db.clean.targets import (
    CleanContext,
    CleanTarget,
    find_targets,
    needed_tables,
    parameters,
    read_context,
    read_space,
)
from aperture_db.errors import ApertureDbError
from aperture_db.format import as_administrator
from aperture_db.postgres.catalog import (
    Table,
    explain_unreadable,
    read_database,
)
from aperture_db.postgres.connection import set_local
from aperture_db.postgres.session import Connection

LOCK_TIMEOUT = "2s"
# The line pointer and header of a row in the heap.
ROW_OVERHEAD_BYTES = 28
HAS_MODEL = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE model = ANY (%(models)s))")


@dataclass(frozen=True)
class Measure:
    rows: int
    width_bytes: int


def collect(
    conn: Connection,
    kinds: Iterable[Kind] = tuple(Kind),
    limits: CleanLimits | None = None,
    *,
    lock_timeout: str | None = LOCK_TIMEOUT,
) -> CleanReport:
    """Count the rows of these kinds that can be deleted.

    Needs SELECT on the tables concerned; a kind that can't be read is reported as unknown. Call it
    in an open transaction, which gives all counts one snapshot. Raises LockNotAvailable when a
    table is locked for longer than `lock_timeout`; None keeps the transaction's own timeout.
    """
    limits = limits or CleanLimits()
    if lock_timeout is not None:
        set_local(conn, lock_timeout=lock_timeout)
    database = read_database(conn)
    context = read_context(conn)
    reports = []
    for kind in kinds:
        report = _explain_unknown(kind, context, database.role)
        reports.append(report or _measured(conn, kind, context, limits))
    return CleanReport(database.name, tuple(reports), limits, context.active_model)


def refuse_unknown(plan: CleanReport) -> None:
    """Raise ApertureDbError for a kind whose rows are unknown: it can't be deleted."""
    for kind in plan.unknown:
        raise ApertureDbError(
            f"{kind.kind} can't be deleted",
            why=str(kind.unknown),
            next_step=as_administrator([kind.grant]) if kind.grant else "leave it out",
            code="row_security" if kind.hides_rows else "no_privilege" if kind.grant else "unknown",
        )


def _explain_unknown(kind: Kind, context: CleanContext, role: str) -> KindReport | None:
    """Report why a kind can't be counted; None if it can."""
    needed = needed_tables(kind, context)
    if refusal := explain_unreadable(needed, role):
        unknown = _unknown(kind, refusal.reason)
        return replace(unknown, grant=" ".join(refusal.statements), hides_rows=refusal.hides_rows)
    if kind is Kind.STALE_EMBEDDINGS and context.active is None:
        return _unknown(kind, "no embedding model is known to be in use")
    mark_table, mark_column = aperture.DEAD_JOBS_MARK
    if kind is Kind.DEAD_JOBS and needed and not context.has(mark_table, mark_column):
        return _unknown(kind, "older versions of Aperture may still use these names")
    return None


def _unknown(kind: Kind, why: str) -> KindReport:
    return KindReport(kind, DESCRIPTIONS[kind], None, None, is_size_exact=False, unknown=why)


def _measured(
    conn: Connection, kind: Kind, context: CleanContext, limits: CleanLimits
) -> KindReport:
    parts = [measure(conn, target, limits) for target in find_targets(kind, context)]
    parts = [part for part in parts if part.rows]
    return KindReport(
        kind=kind,
        description=DESCRIPTIONS[kind],
        rows=sum(part.rows for part in parts),
        size_bytes=sum(part.size_bytes for part in parts),
        is_size_exact=all(part.way is DeleteStrategy.TRUNCATE for part in parts),
        tables=tuple(parts),
        note=_note(conn, kind, context) if parts else None,
    )


def measure(conn: Connection, target: CleanTarget, limits: CleanLimits) -> TablePart:
    """Count the rows of a target, and measure their space."""
    selected = _measure(conn, target.select(_width(target.table)), limits)
    if not selected.rows:
        return TablePart(target.table.name, 0, 0, DeleteStrategy.DELETE)
    everything = sql.SQL("SELECT {} FROM {} AS target").format(
        _width(target.table), target.table.identifier
    )
    whole = _measure(conn, everything, limits)
    space = read_space(conn, target.table)
    size = space.data_bytes * selected.width_bytes / whole.width_bytes
    size += space.index_bytes * selected.rows / whole.rows
    is_emptied = target.may_truncate and target.table.may_truncate and selected.rows == whole.rows
    way = DeleteStrategy.TRUNCATE if is_emptied else DeleteStrategy.DELETE
    return TablePart(target.table.name, selected.rows, round(size), way)


def _width(table: Table) -> sql.Composed:
    """Compute the stored size of a row, TOASTed values included, without reading those."""
    sizes = [
        sql.SQL("coalesce(pg_column_size(target.{}), 0)").format(sql.Identifier(name))
        for name in table.columns
    ]
    return sql.SQL(" + ").join([sql.Literal(ROW_OVERHEAD_BYTES), *sizes])


def _measure(conn: Connection, rows: sql.Composed, limits: CleanLimits) -> Measure:
    query = sql.SQL(queries.load("clean/measure")).format(rows=rows)
    with conn.cursor(row_factory=class_row(Measure)) as cursor:
        row = cursor.execute(query, parameters(limits)).fetchone()
    assert row is not None
    return row


def _note(conn: Connection, kind: Kind, context: CleanContext) -> str | None:
    if kind is not Kind.STALE_EMBEDDINGS or context.active is None:
        return None
    for embeddings in context.embedding_tables:
        if context.active.is_kept_in(embeddings):
            query = HAS_MODEL.format(embeddings.identifier)
            names = list(context.active.names_in(embeddings))
            if conn.execute(query, {"models": names}).fetchone() == (True,):
                return None
    return (
        f"{context.active.id} is in use but has no embeddings yet: "
        "with these gone, nothing can be searched until its jobs have run"
    )
