"""Deletes the named kinds in batches; each batch is committed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import errors as pg
from psycopg import sql

from aperture_db import aperture
from aperture_db import sql as queries
from aperture_db.clean import (
    BatchDeleted,
    CleanedKind,
    CleanedTable,
    CleanLimits,
    CleanReport,
    CleanResult,
    DeleteStrategy,
    Kind,
    TablePart,
)
from aperture_db.clean.targets import (
    CleanContext,
    CleanTarget,
    find_targets,
    parameters,
    read_context,
    read_space,
    table_of,
)
from aperture_db.errors import ApertureDbError, BusyError
from aperture_db.format import plural, quote_identifier, vacuum_command
from aperture_db.postgres.activity import LockMode, find_lock_holders
from aperture_db.postgres.catalog import Table, read_foreign_keys, read_tables
from aperture_db.postgres.connection import set_local, timeout_parameter
from aperture_db.postgres.session import Connection

MAX_NAMED_TABLES = 3
DELETE_BATCH = sql.SQL("DELETE FROM {table} WHERE ctid = ANY (ARRAY({rows} LIMIT %(batch_rows)s))")
"""A row that another session changes meanwhile has another ctid then, and is kept."""
CHOOSE_IDS = sql.SQL("SELECT ARRAY({rows} LIMIT %(batch_rows)s)")
HAS_OTHER_ROWS = sql.SQL(
    "SELECT (SELECT count(*) FROM {table}) <> (SELECT count(*) FROM ({rows}) AS counted)"
)
COUNT = sql.SQL("SELECT count(*) FROM ({rows}) AS counted")
LOCK = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE")


def apply(
    conn: Connection, plan: CleanReport, *, lock_timeout_seconds: float
) -> Iterator[BatchDeleted]:
    """Delete the rows that `plan` counted, and those that have come under its rules since.

    Every batch has its own transaction, so its rows stay deleted when a later batch fails. Needs
    DELETE on the tables, and TRUNCATE on those that are emptied. Raises BusyError when a lock is
    not obtained in time, and ApertureDbError before it deletes anything that the plan did not
    show.
    """
    lock_timeout = timeout_parameter(lock_timeout_seconds)
    kinds = [report.kind for report in plan.kinds]
    with conn.transaction():
        context = read_context(conn)
        refuse_outside_references(conn, kinds, context)
    if Kind.STALE_EMBEDDINGS in kinds:
        refuse_changed_model(plan, context)
    for report in plan.kinds:
        planned = {part.table: part for part in report.tables}
        deletion = BatchDeletion(conn, plan.limits, planned, lock_timeout)
        for target in find_targets(report.kind, context):
            if target.table.name not in planned or target.deleted_with:
                continue
            with naming_lock_holders(conn, target.table):
                for table in deletion.delete(target):
                    yield BatchDeleted(report.kind, table, deletion.planned_rows(table.table))


def refuse_changed_model(plan: CleanReport, context: CleanContext) -> None:
    """Raise ApertureDbError if the active model is no longer the one of the plan."""
    before, now = plan.active_model, context.active_model
    if before != now:
        raise ApertureDbError(
            "the model in use was changed meanwhile, nothing was deleted",
            why=f"{before or 'none'} was in use when the rows were counted, {now or 'none'} is now",
            next_step=f"aperture-db clean {Kind.STALE_EMBEDDINGS}",
            code="model_changed",
        )


def refuse_outside_references(
    conn: Connection, kinds: Iterable[Kind], context: CleanContext
) -> None:
    """Raise ApertureDbError if a table that is not Aperture's refers to rows to be deleted.

    Its rows would be deleted or updated too, and the plan did not show them.
    """
    tables = {table.oid: table for table in read_tables(conn)}
    keys = read_foreign_keys(conn)
    for kind in kinds:
        targets = {target.table.oid for target in find_targets(kind, context)}
        for key in keys:
            table = tables.get(key.table_oid)
            if key.referenced_oid in targets and table and not aperture.group_of(table.name):
                name = f"{quote_identifier(table.schema)}.{quote_identifier(table.name)}"
                referenced = tables[key.referenced_oid].name
                raise ApertureDbError(
                    f"{kind} can't be deleted, nothing was deleted",
                    why=f"the table {name}, which is not Aperture's, refers to {referenced}, and "
                    "its rows were not shown",
                    next_step=f"leave {kind} out, or: ALTER TABLE {name} "
                    f"DROP CONSTRAINT {quote_identifier(key.name)};",
                    code="referenced",
                )


def summarize(
    database: str, progress: Iterable[BatchDeleted], duration_seconds: float
) -> CleanResult:
    """Summarize the deletions so far: the last event of each table counts."""
    last: dict[Kind, dict[str, CleanedTable]] = {}
    for event in progress:
        last.setdefault(event.kind, {})[event.table.table] = event.table
    kinds = tuple(CleanedKind(kind, tuple(tables.values())) for kind, tables in last.items())
    return CleanResult(database, kinds, duration_seconds, next_steps(kinds))


def next_steps(kinds: Iterable[CleanedKind]) -> tuple[str, ...]:
    """List the VACUUM commands for the tables; rebuilding vector indexes beats vacuuming them."""
    tables = [table.table for kind in kinds for table in kind.tables if table.reusable_bytes]
    vectors = [name for name in tables if aperture.group_of(name) is aperture.Group.EMBEDDINGS]
    others = [name for name in tables if name not in vectors]
    return (*_vacuum(others), *_vacuum(vectors, "--reindex-hnsw"))


def _vacuum(tables: Iterable[str], *options: str) -> Iterator[str]:
    """Yield the command for these tables; for many tables, that for all."""
    named = list(dict.fromkeys(tables))
    if named:
        yield vacuum_command(named if options or len(named) <= MAX_NAMED_TABLES else (), *options)


def rows_kept(table: Table, rows: int) -> ApertureDbError:
    """The error for rows that are still there after they were deleted."""
    return ApertureDbError(
        f"{plural(rows, 'row', verb=('is', 'are'))} still in {table.name}",
        why="the server reported success; a trigger or a rule of your own keeps the rows, or "
        "inserts them again",
        next_step="look for it with: SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE NOT "
        "tgisinternal; SELECT * FROM pg_rules; SELECT evtname FROM pg_event_trigger;",
        code="rows_kept",
    )


@contextmanager
def naming_lock_holders(conn: Connection, table: Table) -> Iterator[None]:
    """Turn a lock timeout into BusyError, which names the holder."""
    try:
        yield
    except pg.LockNotAvailable as error:
        # A DELETE waits for a row, whose holder has at least ROW SHARE on the table.
        modes = LockMode.EXCLUSIVE.conflicts
        holders = find_lock_holders(conn, [table.oid], modes)
        held = f"held by {holders[0]}" if holders else "its holder could not be seen"
        end_it = f"SELECT pg_terminate_backend({holders[0].pid});" if holders else "stop Aperture"
        raise BusyError(
            f"{table.name} is locked, so its rows could not be deleted",
            why=f"{error.diag.message_primary}; {held}",
            next_step=f"wait until that session is done, or end it: {end_it}",
            details=tuple(f"held by {holder}" for holder in holders[1:]),
        ) from error


@dataclass(frozen=True)
class BatchDeletion:
    """Deletes the rows of one kind. Yields the sums of a table after every batch."""

    conn: Connection
    limits: CleanLimits
    planned: dict[str, TablePart]
    lock_timeout: str

    def planned_rows(self, table: str) -> int:
        return self.planned[table].rows if table in self.planned else 0

    def delete(self, target: CleanTarget) -> Iterator[CleanedTable]:
        if self.planned[target.table.name].way is DeleteStrategy.TRUNCATE:
            emptied = self._empty(target)
            if emptied is not None:
                yield emptied
                return
        yield from self._in_batches(target)

    def _empty(self, target: CleanTarget) -> CleanedTable | None:
        """TRUNCATE the table; None if it has got other rows since. Takes ACCESS EXCLUSIVE."""
        table = target.table
        with self.conn.transaction():
            set_local(self.conn, lock_timeout=self.lock_timeout)
            self.conn.execute(LOCK.format(table.identifier))
            rows = target.select(sql.SQL("target.ctid"))
            has_other_rows = HAS_OTHER_ROWS.format(table=table.identifier, rows=rows)
            count = sql.SQL("SELECT count(*) FROM {}").format(table.identifier)
            with self.conn.without_index_only_scans():
                others = self.conn.execute(has_other_rows, parameters(self.limits)).fetchone()
                row = self.conn.execute(count).fetchone()
            if others != (False,):
                return None
            assert row is not None
            before = read_space(self.conn, table).total_bytes
            self.conn.execute(sql.SQL("TRUNCATE {}").format(table.identifier))
            freed = before - read_space(self.conn, table).total_bytes
        return CleanedTable(table.name, row[0], freed, 0)

    def _in_batches(self, target: CleanTarget) -> Iterator[CleanedTable]:
        """Delete until none are left. Raises ApertureDbError when the rows do not become fewer."""
        totals: dict[str, int] = {}
        at_first = self._count(target)
        while totals.get(target.table.name, 0) < at_first and (
            deleted := self._delete_batch(target)
        ):
            for table, rows in deleted.items():
                totals[table] = totals.get(table, 0) + rows
                yield CleanedTable(table, totals[table], 0, self._reusable(table, totals[table]))
        left = self._count(target)
        was_stopped = totals.get(target.table.name, 0) < at_first
        if left and (was_stopped or left >= at_first):
            raise rows_kept(target.table, left)

    def _count(self, target: CleanTarget) -> int:
        """The rows that are to be deleted now."""
        rows = target.select(sql.SQL("target.ctid"))
        row = self.conn.execute(COUNT.format(rows=rows), parameters(self.limits)).fetchone()
        assert row is not None
        return int(row[0])

    def _delete_batch(self, target: CleanTarget) -> dict[str, int]:
        """Delete a batch; returns its rows by table, empty when none are left."""
        with self.conn.transaction():
            set_local(self.conn, lock_timeout=self.lock_timeout)
            if target.statements:
                return self._delete_whole(target)
            table = target.table
            rows = target.select(sql.SQL("target.ctid"))
            statement = DELETE_BATCH.format(table=table.identifier, rows=rows)
            count = self.conn.execute(statement, self._parameters(target)).rowcount
            return {table.name: count} if count else {}

    def _delete_whole(self, target: CleanTarget) -> dict[str, int]:
        """Delete rows with all that refers to them: no run may be left without its candidates."""
        query = CHOOSE_IDS.format(rows=target.select(sql.SQL("target.id")))
        row = self.conn.execute(query, self._parameters(target)).fetchone()
        assert row is not None
        if not row[0]:
            return {}
        deleted = {}
        for statement in target.statements:
            table = table_of(statement)
            if table in self.planned:
                cursor = self.conn.execute(queries.compose(statement), {"ids": row[0]})
                deleted[table] = cursor.rowcount
        return deleted if deleted[target.table.name] else {}

    def _parameters(self, target: CleanTarget) -> dict[str, object]:
        return parameters(self.limits) | {"batch_rows": target.batch_rows}

    def _reusable(self, table: str, rows: int) -> int:
        """Take the plan's estimate for this number of rows."""
        part = self.planned.get(table)
        return round(part.size_bytes * min(rows / part.rows, 1)) if part else 0
