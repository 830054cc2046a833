"""The work of a purge of anything but everything: its transaction, and the disk space after it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from aperture_db.postgres.catalog import Table
from aperture_db.postgres.session import Connection
from aperture_db.progress import Phase, Progress
from aperture_db.purge.assessment import (
    Assessment,
    DroppedKey,
    assess,
    read_key_definitions,
    require_privileges,
    shown_name,
)
from aperture_db.purge.guards import (
    UserDataKeeper,
    WriteCounters,
    locks_for,
    not_as_planned,
    read_write_counters,
    require_locked,
    require_untouched,
    require_writes,
    take_locks,
)
from aperture_db.purge.report import Preparation
from aperture_db.purge.scopes import Scope
from aperture_db.purge.selection import (
    ColumnChange,
    PurgeSelection,
    TableEffect,
    count_effects,
    select,
)

# Less than this, or than this share of a table, is better left for new rows than rewritten away.
REWRITE_BYTES = 1 << 20
REWRITE_SHARE = 0.1
# VACUUM FULL keeps what the oldest transaction that writes, in any database, might still see.
WAIT_SECONDS = 5.0
POLL_SECONDS = 0.05
# Rows differ in size. Where an old snapshot keeps the dead ones, only the indexes get smaller.
MIN_SHARE_OF_EXPECTED = 0.5


@dataclass(frozen=True)
class TableFile:
    """The file that holds a table, another one after VACUUM FULL, and the table's whole size."""

    file: int
    total_bytes: int


class SpaceReturn:
    """Vacuums the tables of a purge, outside of any transaction.

    It never waits for a lock and never fails: the purge is done whatever its result.
    """

    def __init__(self, assessment: Assessment, transaction_id: str) -> None:
        self._assessment = assessment
        self._transaction_id = transaction_id
        self.not_shrunk: list[str] = []
        """Tables whose space could not be returned."""

    def run(self, conn: Connection) -> Iterator[Phase | Progress]:
        counts = self._assessment.counts
        deleted = self._assessment.strategies.deleted
        losing = [each for each in deleted if counts[each.table.oid].deleted]
        if losing:
            yield Phase("returning disk space")
        may_rewrite = any(map(self._freed_bytes, losing)) and self._wait_for_others(conn)
        for number, effect in enumerate(losing):
            yield Progress(f"returning the space of {effect.table.name}", number, len(losing))
            freed_bytes = self._freed_bytes(effect)
            if freed_bytes and may_rewrite:
                is_shrunk = _rewrite(conn, effect.table, freed_bytes)
            else:
                is_shrunk = _reuse(conn, effect.table) and not freed_bytes
            if not is_shrunk:
                self.not_shrunk.append(shown_name(effect.table))

    def _freed_bytes(self, effect: TableEffect) -> float:
        """The bytes that rewriting should free, in proportion to the rows; 0 if too few."""
        counted = self._assessment.counts[effect.table.oid]
        size = self._assessment.sizes.get(effect.table.oid)
        share = counted.deleted / counted.total
        freed_bytes = size.total_bytes * share if size else 0
        return freed_bytes if freed_bytes >= REWRITE_BYTES and share >= REWRITE_SHARE else 0

    def _wait_for_others(self, conn: Connection) -> bool:
        """Wait until the transactions that wrote during the purge have ended; False if one hasn't.

        It takes moments where nobody holds a transaction open.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        query = "SELECT pg_snapshot_xmin(pg_current_snapshot()) > %s::xid8"
        try:
            while conn.execute(query, [self._transaction_id]).fetchone() != (True,):
                if time.monotonic() > deadline:
                    return False
                time.sleep(POLL_SECONDS)
        except psycopg.Error:
            return False
        return True


def _rewrite(conn: Connection, table: Table, freed_bytes: float) -> bool:
    """Rewrite the table; False where its space was not returned."""
    try:
        before = _read_file(conn, table)
        is_done = _vacuum(conn, table, "FULL, ANALYZE, SKIP_LOCKED")
        after = _read_file(conn, table)
    except psycopg.Error:
        return False
    returned = before.total_bytes - after.total_bytes
    is_rewritten = is_done and after.file != before.file
    return is_rewritten and returned >= freed_bytes * MIN_SHARE_OF_EXPECTED


def _reuse(conn: Connection, table: Table) -> bool:
    """Leave the space to new rows; False where the server refused."""
    try:
        return _vacuum(conn, table, "ANALYZE, SKIP_LOCKED")
    except psycopg.Error:
        return False


def _vacuum(conn: Connection, table: Table, options: str) -> bool:
    """Vacuum as the owner, skipping a locked table; False for any other role."""
    if table.is_owner:
        conn.execute_alone(sql.SQL("VACUUM ({}) {}").format(sql.SQL(options), table.identifier))
    return table.is_owner


def _read_file(conn: Connection, table: Table) -> TableFile:
    cursor = conn.cursor(row_factory=class_row(TableFile))
    query = (
        "SELECT pg_relation_filenode(%(oid)s) AS file, "
        "pg_total_relation_size(%(oid)s) AS total_bytes"
    )
    storage = cursor.execute(query, {"oid": table.oid}).fetchone()
    assert storage is not None
    return storage


class DeletionWork:
    """Locks, counts again, acts and verifies, in this order and within one transaction."""

    def __init__(self, scope: Scope, preparation: Preparation, user_data: UserDataKeeper) -> None:
        self._scope = scope
        self._user_data = user_data
        self._preparation = preparation
        self._selection: PurgeSelection
        self._assessment: Assessment
        self._counters: dict[int, WriteCounters]

    def lock(self, conn: Connection, timeout_seconds: float) -> None:
        """Lock the tables of the plan, and require that no other has to be locked by now. Raises
        LockRefusedError."""
        locks = self._preparation.locks
        take_locks(conn, locks, timeout_seconds)
        self._selection = select(conn, self._scope)
        require_locked(locks_for(self._selection), locks)

    def assess(self, conn: Connection) -> Assessment:
        self._counters = read_write_counters(conn)
        role, sizes = self._preparation.role, self._preparation.sizes
        self._assessment = assess(conn, self._selection, role, sizes)
        require_privileges(self._assessment.missing, role)
        return self._assessment

    def act(self, conn: Connection) -> Iterator[Progress]:
        """Keep user data, update, delete, truncate. Each step must meet the counted rows."""
        strategies = self._assessment.strategies
        keys = read_key_definitions(conn)
        yield Progress("keeping user data")
        self._user_data.act(conn)
        yield from self._update(conn)
        for key in strategies.dropped_keys:
            _drop_key(conn, key)
        yield from self._delete(conn)
        if strategies.truncated:
            yield Progress(f"truncating {len(strategies.truncated)} tables")
            tables = sql.SQL(", ").join(table.identifier for table in strategies.truncated)
            conn.execute(sql.SQL("TRUNCATE {}").format(tables))
        for count, key in enumerate(strategies.dropped_keys):
            name = key.definition.name
            yield Progress(f"adding {name} again", count, len(strategies.dropped_keys))
            _add_key(conn, key)
        if read_key_definitions(conn) != keys:
            raise not_as_planned("a foreign key is not as it was")

    def verify(self, conn: Connection, *, counters_work: bool) -> None:
        """Raise when anything else happened than was counted."""
        after = read_write_counters(conn)
        strategies = self._assessment.strategies
        truncated = {table.oid for table in strategies.truncated}
        concerned = {effect.table.oid for effect in self._selection.effects}
        dropped = {key.table.oid for key in strategies.dropped_keys}
        require_untouched(self._counters, after, concerned | dropped)
        left = count_effects(conn, self._selection.effects)
        for effect in self._selection.effects:
            oid = effect.table.oid
            counted, now = self._assessment.counts[oid], left[oid]
            is_expected = now.total == counted.total - counted.deleted
            if not is_expected or now.deleted or any(now.changed):
                raise not_as_planned(f"{effect.table.name} does not hold what should be left")
            if counters_work and oid not in truncated:
                written = (counted.deleted, sum(counted.changed))
                require_writes(self._counters[oid], after[oid], *written)

    def _update(self, conn: Connection) -> Iterator[Progress]:
        """Needs UPDATE and SELECT on the tables."""
        for effect in self._selection.effects:
            changed = self._assessment.counts[effect.table.oid].changed
            for change, rows in zip(effect.changes, changed, strict=True):
                if rows:
                    yield Progress(f"updating {effect.table.name}")
                    _require_count(effect, _update_rows(conn, effect, change), rows, "updated")

    def _delete(self, conn: Connection) -> Iterator[Progress]:
        """Needs DELETE and SELECT on the tables."""
        deleted = self._assessment.strategies.deleted
        for count, effect in enumerate(deleted):
            rows = self._assessment.counts[effect.table.oid].deleted
            if rows and effect.deleted is not None:
                yield Progress(f"deleting from {effect.table.name}", count, len(deleted))
                statement = sql.SQL("DELETE FROM {} WHERE {}")
                done = conn.execute(statement.format(effect.table.identifier, effect.deleted))
                _require_count(effect, done, rows, "deleted")


def _update_rows(
    conn: Connection, effect: TableEffect, change: ColumnChange
) -> psycopg.Cursor[tuple[object, ...]]:
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.SQL(value))
        for name, value in change.columns.items()
    )
    statement = sql.SQL("UPDATE {} SET {} WHERE {}")
    return conn.execute(statement.format(effect.table.identifier, assignments, change.condition))


def _drop_key(conn: Connection, key: DroppedKey) -> None:
    """Needs ownership of the table."""
    statement = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}")
    conn.execute(statement.format(key.table.identifier, sql.Identifier(key.definition.name)))


def _add_key(conn: Connection, key: DroppedKey) -> None:
    """Add the foreign key as it was, which checks the rows that are kept. Needs ownership of the
    table, and REFERENCES on the other one."""
    table, name = key.table.identifier, sql.Identifier(key.definition.name)
    statement = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}")
    conn.execute(statement.format(table, name, sql.SQL(key.definition.definition)))
    if key.definition.comment is not None:
        statement = sql.SQL("COMMENT ON CONSTRAINT {} ON {} IS {}")
        conn.execute(statement.format(name, table, key.definition.comment))


def _require_count(
    effect: TableEffect, done: psycopg.Cursor[tuple[object, ...]], rows: int, word: str
) -> None:
    if done.rowcount != rows:
        raise not_as_planned(
            f"{rows:,} rows of {effect.table.name} were to be {word}, {done.rowcount:,} were"
        )
