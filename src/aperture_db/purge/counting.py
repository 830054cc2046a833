"""Exact numbers of the rows that a purge concerns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.postgres.connection import Connection
from aperture_db.purge.selection import Obstacle, TableEffect

NO_ROW = sql.SQL("false")


@dataclass(frozen=True)
class Counted:
    """Rows of one table."""

    total: int
    going: int
    changed: tuple[int, ...]
    """By the changes of the table's effect, in their order."""

    @property
    def is_all(self) -> bool:
        """Whether rows go and none is left."""
        return 0 < self.going == self.total


def count_effects(conn: Connection, effects: Sequence[TableEffect]) -> dict[int, Counted]:
    """Count in one statement and so from one snapshot; by the table's oid."""
    counts = [_count(effect) for effect in effects]
    if not counts:
        return {}
    rows = conn.execute(sql.SQL("\nUNION ALL\n").join(counts)).fetchall()
    return {oid: Counted(total, going, tuple(changed)) for oid, total, going, changed in rows}


def count_obstacle(conn: Connection, obstacle: Obstacle) -> int:
    """The rows that stand in the way."""
    query = sql.SQL(queries.load("purge/count_obstacle")).format(
        table=obstacle.table.identifier, condition=obstacle.condition
    )
    row = conn.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _count(effect: TableEffect) -> sql.Composed:
    changed = [
        sql.SQL("count(*) FILTER (WHERE {})").format(change.condition) for change in effect.changes
    ]
    return sql.SQL(queries.load("purge/count_effect")).format(
        oid=effect.table.oid,
        going=effect.going or NO_ROW,
        changed=sql.SQL(", ").join(changed),
        table=effect.table.identifier,
    )
