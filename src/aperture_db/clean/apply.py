"""Deletes what was named, in batches that each keep what they did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import errors as pg
from psycopg import sql

from aperture_db import aperture
from aperture_db import sql as queries
from aperture_db.clean.collect import parameters, read_scene, read_space
from aperture_db.clean.doomed import Doomed, find_doomed
from aperture_db.clean.guards import refuse_changed_model, refuse_outside_references
from aperture_db.clean.kinds import Kind, Limits
from aperture_db.clean.report import (
    CleanedKind,
    CleanedTable,
    CleanReport,
    CleanResult,
    TablePart,
    Way,
)
from aperture_db.errors import BusyError
from aperture_db.format import vacuum_command
from aperture_db.postgres.activity import find_lock_holders
from aperture_db.postgres.catalog import Table
from aperture_db.postgres.connection import Connection, set_local, timeout_parameter

# A waiting DELETE waits for a row, whose holder has the weakest of these on the table.
LOCK_MODES = (
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
MAX_NAMED_TABLES = 3
RUNS_TABLE = "recommendation_runs"
# What goes with a run, in the order in which it goes.
RUN_STATEMENTS = {
    "recommendation_evidence": "delete_evidence",
    "recommendation_candidates": "delete_candidates",
    RUNS_TABLE: "delete_runs",
}


@dataclass(frozen=True)
class Progressed:
    """A batch is gone for good."""

    kind: Kind
    table: CleanedTable
    """What is gone of the table up to now."""
    planned_rows: int


def apply(
    conn: Connection, plan: CleanReport, *, lock_timeout_seconds: float
) -> Iterator[Progressed]:
    """Delete what `plan` counted; what has come under the rules since goes too.

    Every batch is a transaction of its own: what is gone stays gone when a later one fails. Needs
    DELETE on the tables, and TRUNCATE on those that are emptied. Raises BusyError when a lock is
    not obtained in time, and ApertureDbError before anything is deleted when it would not be what
    the plan showed.
    """
    kinds = [report.kind for report in plan.kinds]
    with conn.transaction():
        scene, _readable = read_scene(conn)
        refuse_outside_references(conn, kinds, scene)
    if Kind.STALE_EMBEDDINGS in kinds:
        refuse_changed_model(plan, scene)
    for report in plan.kinds:
        planned = {part.table: part for part in report.tables}
        deletion = Deletion(conn, plan.limits, planned, timeout_parameter(lock_timeout_seconds))
        for doomed in find_doomed(report.kind, scene):
            if doomed.table.name not in planned or doomed.goes_with:
                continue
            with naming_holders(conn, doomed.table):
                for table in deletion.delete(doomed):
                    yield Progressed(report.kind, table, deletion.planned_rows(table.table))


def summarize(
    database: str, progress: Iterable[Progressed], duration_seconds: float
) -> CleanResult:
    """The result of what was done up to now; of each table the last event counts."""
    last: dict[Kind, dict[str, CleanedTable]] = {}
    for event in progress:
        last.setdefault(event.kind, {})[event.table.table] = event.table
    kinds = tuple(CleanedKind(kind, tuple(tables.values())) for kind, tables in last.items())
    return CleanResult(database, kinds, duration_seconds, next_steps(kinds))


def next_steps(kinds: Iterable[CleanedKind]) -> tuple[str, ...]:
    """VACUUM for the tables that lost rows; vector indexes are faster built anew than cleaned."""
    tables = [table.table for kind in kinds for table in kind.tables if table.reusable_bytes]
    vectors = [name for name in tables if aperture.group_of(name) is aperture.Group.EMBEDDINGS]
    others = [name for name in tables if name not in vectors]
    return (*_vacuum(others), *_vacuum(vectors, "--reindex-hnsw"))


def _vacuum(tables: Iterable[str], *options: str) -> Iterator[str]:
    """The command for these tables; for many of them the one for all tables is shorter."""
    named = list(dict.fromkeys(tables))
    if named:
        yield vacuum_command(named if options or len(named) <= MAX_NAMED_TABLES else (), *options)


@contextmanager
def naming_holders(conn: Connection, table: Table) -> Iterator[None]:
    """Turn a lock that was not obtained into an error that names who holds it."""
    try:
        yield
    except pg.LockNotAvailable as error:
        holders = find_lock_holders(conn, [table.oid], LOCK_MODES)
        held = f"held by {holders[0]}" if holders else "its holder could not be seen"
        end_it = f"SELECT pg_terminate_backend({holders[0].pid});" if holders else "stop Aperture"
        raise BusyError(
            f"{table.name} is locked, so its rows could not be deleted",
            why=f"{error.diag.message_primary}; {held}",
            next_step=f"wait until that session is done, or end it: {end_it}",
            details=tuple(f"held by {holder}" for holder in holders[1:]),
        ) from error


@dataclass(frozen=True)
class Deletion:
    """Deletes rows of one kind. Yields what is gone of a table after every batch."""

    conn: Connection
    limits: Limits
    planned: dict[str, TablePart]
    lock_timeout: str

    def planned_rows(self, table: str) -> int:
        return self.planned[table].rows if table in self.planned else 0

    def delete(self, doomed: Doomed) -> Iterator[CleanedTable]:
        if self.planned[doomed.table.name].way is Way.TRUNCATE:
            emptied = self._empty(doomed)
            if emptied is not None:
                yield emptied
                return
        yield from self._in_batches(doomed)

    def _empty(self, doomed: Doomed) -> CleanedTable | None:
        """TRUNCATE, unless rows that must stay have come since; the lock keeps them out."""
        table = doomed.table
        with self.conn.transaction():
            set_local(self.conn, lock_timeout=self.lock_timeout)
            lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table.identifier)
            self.conn.execute(lock)
            rows = doomed.select(sql.SQL("doomed.ctid"))
            others = sql.SQL(queries.load("clean/has_other_rows")).format(
                table=table.identifier, rows=rows
            )
            if self.conn.execute(others, parameters(self.limits)).fetchone() != (False,):
                return None
            count = sql.SQL("SELECT count(*) FROM {}").format(table.identifier)
            row = self.conn.execute(count).fetchone()
            assert row is not None
            before = read_space(self.conn, table).total_bytes
            self.conn.execute(sql.SQL("TRUNCATE {}").format(table.identifier))
            freed = before - read_space(self.conn, table).total_bytes
        return CleanedTable(table.name, row[0], freed, 0)

    def _in_batches(self, doomed: Doomed) -> Iterator[CleanedTable]:
        totals: dict[str, int] = {}
        while gone := self._delete_batch(doomed):
            for table, rows in gone.items():
                totals[table] = totals.get(table, 0) + rows
                yield CleanedTable(table, totals[table], 0, self._reusable(table, totals[table]))

    def _delete_batch(self, doomed: Doomed) -> dict[str, int]:
        """Rows by table; empty when nothing was left to delete."""
        with self.conn.transaction():
            set_local(self.conn, lock_timeout=self.lock_timeout)
            if doomed.table.name == RUNS_TABLE:
                return self._delete_runs(doomed)
            statement = sql.SQL(queries.load("clean/delete_batch")).format(
                table=doomed.table.identifier, rows=doomed.select(sql.SQL("doomed.ctid"))
            )
            rows = self.conn.execute(statement, self._parameters(doomed)).rowcount
            return {doomed.table.name: rows} if rows else {}

    def _delete_runs(self, doomed: Doomed) -> dict[str, int]:
        """Whole runs: a run without its candidates would be one that recommends nothing."""
        query = sql.SQL(queries.load("clean/choose_runs")).format(
            rows=doomed.select(sql.SQL("doomed.id"))
        )
        row = self.conn.execute(query, self._parameters(doomed)).fetchone()
        assert row is not None
        if not row[0]:
            return {}
        gone = {}
        for table, statement in RUN_STATEMENTS.items():
            if table == RUNS_TABLE or table in self.planned:
                cursor = self.conn.execute(queries.load(f"clean/{statement}"), {"runs": row[0]})
                gone[table] = cursor.rowcount
        return gone if gone[RUNS_TABLE] else {}

    def _parameters(self, doomed: Doomed) -> dict[str, object]:
        return parameters(self.limits) | {"batch_rows": doomed.batch_rows}

    def _reusable(self, table: str, rows: int) -> int:
        """The plan's estimate, for as many rows as went."""
        part = self.planned.get(table)
        return round(part.size_bytes * min(rows / part.rows, 1)) if part else 0
