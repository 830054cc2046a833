"""Gives back the disk space of rows that were deleted one by one, once they are gone for good."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.postgres.catalog import Table
from aperture_db.postgres.connection import Connection
from aperture_db.purge.assess import Assessment, shown_name
from aperture_db.purge.events import Doing, Phase
from aperture_db.purge.selection import TableEffect

# Less than this, or than this share of a table, is better left for new rows than rewritten away.
REWRITE_BYTES = 1 << 20
REWRITE_SHARE = 0.1
# VACUUM FULL keeps what the oldest transaction that writes, in any database, might still see.
PATIENCE_SECONDS = 5.0
POLL_SECONDS = 0.05
# Rows differ in size. Where an old snapshot keeps the dead ones, only the indexes get smaller.
MIN_SHARE_OF_EXPECTED = 0.5


@dataclass(frozen=True)
class _Storage:
    file: int
    total_bytes: int


class Shrinking:
    """Vacuums the tables of a purge, outside of any transaction. It never waits for a lock and
    never fails: the purge is done whatever comes of this."""

    def __init__(self, assessment: Assessment, transaction_id: str) -> None:
        self._assessment = assessment
        self._transaction_id = transaction_id
        self.not_shrunk: list[str] = []
        """Tables whose space could not be given back."""

    def run(self, conn: Connection) -> Iterator[Phase | Doing]:
        counts = self._assessment.counts
        losing = [each for each in self._assessment.ways.deleted if counts[each.table.oid].going]
        if losing:
            yield Phase("giving the disk space back")
        may_rewrite = any(map(self._freed_bytes, losing)) and self._wait_for_others(conn)
        for effect in losing:
            yield Doing(f"giving back the space of {effect.table.name}")
            freed_bytes = self._freed_bytes(effect)
            if freed_bytes and may_rewrite:
                is_shrunk = _rewrite(conn, effect.table, freed_bytes)
            else:
                is_shrunk = _reuse(conn, effect.table) and not freed_bytes
            if not is_shrunk:
                self.not_shrunk.append(shown_name(effect.table))

    def _freed_bytes(self, effect: TableEffect) -> float:
        """What rewriting the table should free, in proportion to its rows; 0 if not worth it."""
        counted = self._assessment.counts[effect.table.oid]
        size = self._assessment.sizes.get(effect.table.oid)
        share = counted.going / counted.total
        freed_bytes = size.total_bytes * share if size else 0
        return freed_bytes if freed_bytes >= REWRITE_BYTES and share >= REWRITE_SHARE else 0

    def _wait_for_others(self, conn: Connection) -> bool:
        """Whether those that wrote while the purge did have ended, which is a matter of moments
        where nobody holds a transaction open."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        parameters = {"xid": self._transaction_id}
        try:
            while conn.execute(queries.load("purge/is_history"), parameters).fetchone() != (True,):
                if time.monotonic() > deadline:
                    return False
                time.sleep(POLL_SECONDS)
        except psycopg.Error:
            return False
        return True


def _rewrite(conn: Connection, table: Table, freed_bytes: float) -> bool:
    """Whether the space was given back."""
    try:
        before = _read_storage(conn, table)
        is_done = _vacuum(conn, table, "FULL, ANALYZE, SKIP_LOCKED")
        after = _read_storage(conn, table)
    except psycopg.Error:
        return False
    given_back = before.total_bytes - after.total_bytes
    is_rewritten = is_done and after.file != before.file
    return is_rewritten and given_back >= freed_bytes * MIN_SHARE_OF_EXPECTED


def _reuse(conn: Connection, table: Table) -> bool:
    """Leave the space to new rows; whether the server took that."""
    try:
        return _vacuum(conn, table, "ANALYZE, SKIP_LOCKED")
    except psycopg.Error:
        return False


def _vacuum(conn: Connection, table: Table, options: str) -> bool:
    """Whether the role may; a table that is locked is passed over."""
    if not table.is_owner:
        return False
    statement = sql.SQL(queries.load("purge/shrink"))
    conn.execute(statement.format(options=sql.SQL(options), table=table.identifier))
    return True


def _read_storage(conn: Connection, table: Table) -> _Storage:
    cursor = conn.cursor(row_factory=class_row(_Storage))
    storage = cursor.execute(queries.load("purge/storage"), {"oid": table.oid}).fetchone()
    assert storage is not None
    return storage
