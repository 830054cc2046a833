"""The work of a purge of anything but everything, inside its transaction."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import sql

from aperture_db import sql as queries
from aperture_db.postgres.connection import Connection
from aperture_db.purge.assess import Assessment, assess, require_privileges
from aperture_db.purge.counting import count_effects
from aperture_db.purge.events import Doing
from aperture_db.purge.footprints import (
    Footprint,
    not_as_planned,
    read_footprints,
    require_untouched,
)
from aperture_db.purge.locks import locks_for, require_locked, take_locks
from aperture_db.purge.report import Preparation
from aperture_db.purge.scopes import Scope
from aperture_db.purge.selection import Selection, TableEffect, select
from aperture_db.purge.ways import LiftedKey, read_key_definitions


class ScopedWork:
    """Locks, counts again, acts and verifies, in this order and within one transaction."""

    def __init__(self, scope: Scope, preparation: Preparation) -> None:
        self._scope = scope
        self._preparation = preparation
        self._selection: Selection
        self._assessment: Assessment
        self._footprints: dict[int, Footprint]

    def lock(self, conn: Connection, timeout_seconds: float) -> None:
        """Lock what the plan says, and make sure that it still is what has to be locked. Raises
        LockRefusedError."""
        locks = self._preparation.locks
        take_locks(conn, locks, timeout_seconds)
        self._selection = select(conn, self._scope)
        require_locked(locks_for(self._selection), locks)

    def assess(self, conn: Connection) -> Assessment:
        self._footprints = read_footprints(conn)
        role, sizes = self._preparation.role, self._preparation.sizes
        self._assessment = assess(conn, self._selection, role, sizes)
        require_privileges(self._assessment.missing, role)
        return self._assessment

    def act(self, conn: Connection) -> Iterator[Doing]:
        """Change, then delete, then empty. Each step must meet the rows that were counted."""
        ways = self._assessment.ways
        keys = read_key_definitions(conn)
        yield from self._change(conn)
        for key in ways.lifted:
            _drop_key(conn, key)
        yield from self._delete(conn)
        if ways.truncated:
            yield Doing(f"emptying {len(ways.truncated)} tables")
            tables = sql.SQL(", ").join(table.identifier for table in ways.truncated)
            conn.execute(sql.SQL(queries.load("purge/truncate")).format(tables=tables))
        for count, key in enumerate(ways.lifted):
            yield Doing(f"adding {key.definition.name} again", count, len(ways.lifted))
            _add_key(conn, key)
        if read_key_definitions(conn) != keys:
            raise not_as_planned("a foreign key is not what it was")

    def verify(self, conn: Connection, *, counters_work: bool) -> None:
        """Raise when anything else happened than was counted."""
        after = read_footprints(conn)
        truncated = {table.oid for table in self._assessment.ways.truncated}
        concerned = {effect.table.oid for effect in self._selection.effects}
        lifted = {key.table.oid for key in self._assessment.ways.lifted}
        require_untouched(self._footprints, after, concerned | lifted)
        left = count_effects(conn, self._selection.effects)
        for effect in self._selection.effects:
            oid = effect.table.oid
            counted, now = self._assessment.counts[oid], left[oid]
            if now.total != counted.total - counted.going or now.going or any(now.changed):
                raise not_as_planned(f"{effect.table.name} does not hold what should be left")
            if counters_work and oid not in truncated:
                written = (counted.going, sum(counted.changed))
                _require_writes(self._footprints[oid], after[oid], *written)

    def _change(self, conn: Connection) -> Iterator[Doing]:
        for effect in self._selection.effects:
            counted = self._assessment.counts[effect.table.oid].changed
            for change, rows in zip(effect.changes, counted, strict=True):
                if not rows:
                    continue
                yield Doing(f"changing {effect.table.name}")
                assignments = sql.SQL(", ").join(
                    sql.SQL("{} = {}").format(sql.Identifier(name), sql.SQL(value))
                    for name, value in change.columns.items()
                )
                done = conn.execute(
                    sql.SQL(queries.load("purge/update_rows")).format(
                        table=effect.table.identifier,
                        assignments=assignments,
                        condition=change.condition,
                    )
                )
                _require_count(effect, done, rows, "changed")

    def _delete(self, conn: Connection) -> Iterator[Doing]:
        deleted = self._assessment.ways.deleted
        for count, effect in enumerate(deleted):
            rows = self._assessment.counts[effect.table.oid].going
            if not rows:
                continue
            yield Doing(f"deleting from {effect.table.name}", count, len(deleted))
            assert effect.going is not None
            done = conn.execute(
                sql.SQL(queries.load("purge/delete_rows")).format(
                    table=effect.table.identifier, condition=effect.going
                )
            )
            _require_count(effect, done, rows, "deleted")


def _drop_key(conn: Connection, key: LiftedKey) -> None:
    statement = sql.SQL(queries.load("purge/drop_key"))
    conn.execute(
        statement.format(table=key.table.identifier, name=sql.Identifier(key.definition.name))
    )


def _add_key(conn: Connection, key: LiftedKey) -> None:
    parts = {"table": key.table.identifier, "name": sql.Identifier(key.definition.name)}
    definition = sql.SQL(key.definition.definition)
    conn.execute(sql.SQL(queries.load("purge/add_key")).format(**parts, definition=definition))
    if key.definition.comment is not None:
        conn.execute(
            sql.SQL(queries.load("purge/comment_key")).format(
                **parts, comment=key.definition.comment
            )
        )


def _require_count(
    effect: TableEffect, done: psycopg.Cursor[tuple[object, ...]], rows: int, word: str
) -> None:
    if done.rowcount != rows:
        raise not_as_planned(
            f"{rows:,} rows of {effect.table.name} were to be {word}, {done.rowcount:,} were"
        )


def _require_writes(before: Footprint, after: Footprint, deleted: int, updated: int) -> None:
    written = (
        after.inserted - before.inserted,
        after.updated - before.updated,
        after.deleted - before.deleted,
    )
    if written != (0, updated, deleted):
        inserted, changed, gone = written
        raise not_as_planned(
            f"{after.name} was to lose {deleted:,} rows and have {updated:,} changed; "
            f"{gone:,} went, {changed:,} changed, {inserted:,} came"
        )
