"""What a transaction has written, to hold it to what was planned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.errors import ApertureDbError
from aperture_db.postgres.connection import Connection


@dataclass(frozen=True)
class Footprint:
    """What this session wrote to one table: rows by kind, and the file that holds the table."""

    oid: int
    name: str
    inserted: int
    updated: int
    deleted: int
    file: int


def read_footprints(conn: Connection) -> dict[int, Footprint]:
    """Of every table of the database, by its oid. Triggers and cascades count, too."""
    with conn.cursor(row_factory=class_row(Footprint)) as cursor:
        return {each.oid: each for each in cursor.execute(queries.load("purge/footprints"))}


def require_untouched(
    before: Mapping[int, Footprint], after: Mapping[int, Footprint], concerned: Iterable[int]
) -> None:
    """Raise when a table that is not concerned was written to, emptied or rewritten. Others may
    add and drop tables meanwhile."""
    for oid in (before.keys() & after.keys()) - set(concerned):
        if before[oid] != after[oid]:
            raise not_as_planned(f"{after[oid].name} is out of scope and was changed")


def not_as_planned(why: str) -> ApertureDbError:
    """The error for an effect that the plan does not have; raised inside the transaction."""
    return ApertureDbError(
        "the purge did something else than planned, so it was rolled back; nothing was changed",
        why=f"{why}; a trigger, a rule or row security of your own may be the cause",
        next_step="look for it with: SELECT tgrelid::regclass, tgname FROM pg_trigger "
        "WHERE NOT tgisinternal;",
        code="not_as_planned",
    )
