"""The work of a purge of anything but everything, inside its transaction."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import sql

from aperture_db.postgres.session import Connection
from aperture_db.progress import Progress
from aperture_db.purge.assessment import (
    Assessment,
    DroppedKey,
    assess,
    read_key_definitions,
    require_privileges,
)
from aperture_db.purge.guards import (
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


class DeletionWork:
    """Locks, counts again, acts and verifies, in this order and within one transaction."""

    def __init__(self, scope: Scope, preparation: Preparation) -> None:
        self._scope = scope
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
        """Update, then delete, then truncate. Each step must meet the rows that were counted."""
        strategies = self._assessment.strategies
        keys = read_key_definitions(conn)
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
