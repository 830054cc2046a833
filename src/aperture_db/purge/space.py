"""Returns the disk space of rows that were deleted one by one, after the commit."""

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
from aperture_db.purge.assessment import Assessment, shown_name
from aperture_db.purge.selection import TableEffect

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
