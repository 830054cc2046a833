"""Rebuilds HNSW indexes before a VACUUM, which is quicker than vacuuming them."""

from __future__ import annotations

import psycopg
from psycopg import sql

from aperture_db.postgres.connection import set_local
from aperture_db.vacuum.events import LeftBehind
from aperture_db.vacuum.figures import read_indexes
from aperture_db.vacuum.job import Events, Job, run_statement, tell_notices
from aperture_db.vacuum.report import Index, PlannedTable

DROP_LOCK_TIMEOUT = "2s"
REBUILD = sql.SQL("REINDEX INDEX CONCURRENTLY {}")


def rebuild_indexes(job: Job, table: PlannedTable) -> Events[tuple[str, ...]]:
    """Rebuild the HNSW indexes that the plan names; what a failed rebuild leaves is dropped."""
    for position, index in enumerate(table.rebuilds):
        known = {found.oid for found in _indexes_of(job, table)}
        try:
            yield from run_statement(job, table, REBUILD.format(index.identifier), position)
        except GeneratorExit:
            _drop_leftovers(job, table, known)
            raise
        except (KeyboardInterrupt, psycopg.Error):
            yield from _drop_leftovers(job, table, known)
            raise
        yield from tell_notices(job, table)
    return tuple(index.name for index in table.rebuilds)


def _drop_leftovers(job: Job, table: PlannedTable, known: set[int]) -> list[LeftBehind]:
    """Drop the invalid indexes that are new since `known`; returns those that stay."""
    left: list[LeftBehind] = []
    if job.conn.closed:
        return left
    for index in _indexes_of(job, table):
        if index.is_valid or index.oid in known:
            continue
        statement = sql.SQL("DROP INDEX IF EXISTS {}").format(index.identifier)
        try:
            with job.conn.transaction():
                set_local(job.conn, lock_timeout=DROP_LOCK_TIMEOUT)
                job.conn.execute(statement)
        except psycopg.Error:
            left.append(LeftBehind(index.name, f"{statement.as_string(job.conn)};"))
    return left


def _indexes_of(job: Job, table: PlannedTable) -> tuple[Index, ...]:
    return read_indexes(job.conn, [table.table.oid]).get(table.table.oid, ())
