"""Gives back the disk space of rows that were deleted one by one, once they are gone for good."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import sql

from aperture_db import sql as queries
from aperture_db.catalog import Table
from aperture_db.connection import Connection
from aperture_db.purge.assess import Assessment, shown_name
from aperture_db.purge.events import Doing, Phase

# Less than this, or than this share of a table, is better left for new rows than rewritten away.
REWRITE_BYTES = 1 << 20
REWRITE_SHARE = 0.1


class Shrinking:
    """Vacuums the tables of a purge, outside of any transaction. It never waits for a lock and
    never fails: the purge is done whatever comes of this."""

    def __init__(self, assessment: Assessment) -> None:
        self._assessment = assessment
        self.not_shrunk: list[str] = []
        """Tables whose space could not be given back."""

    def run(self, conn: Connection) -> Iterator[Phase | Doing]:
        counts = self._assessment.counts
        losing = [each for each in self._assessment.ways.deleted if counts[each.table.oid].going]
        if losing:
            yield Phase("giving the disk space back")
        for effect in losing:
            counted = counts[effect.table.oid]
            yield Doing(f"giving back the space of {effect.table.name}")
            size = self._assessment.sizes.get(effect.table.oid)
            share = counted.going / counted.total
            freed_bytes = size.total_bytes * share if size else 0
            rewrites = freed_bytes >= REWRITE_BYTES and share >= REWRITE_SHARE
            if not _vacuum(conn, effect.table, rewrites=rewrites):
                self.not_shrunk.append(shown_name(effect.table))


def _vacuum(conn: Connection, table: Table, *, rewrites: bool) -> bool:
    """Whether the space was given back, as far as that can be seen."""
    if not table.is_owner:
        return False
    options = sql.SQL("FULL, ANALYZE, SKIP_LOCKED" if rewrites else "ANALYZE, SKIP_LOCKED")
    statement = sql.SQL(queries.load("purge/shrink"))
    try:
        file = _file(conn, table)
        conn.execute(statement.format(options=options, table=table.identifier))
        return not rewrites or _file(conn, table) != file
    except psycopg.Error:
        return False


def _file(conn: Connection, table: Table) -> object:
    row = conn.execute(queries.load("purge/filenode"), {"oid": table.oid}).fetchone()
    assert row is not None
    return row[0]
