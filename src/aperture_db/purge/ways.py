"""How rows leave each table: TRUNCATE where a whole table can go, DELETE where it is shared.

TRUNCATE wants every table that refers to the emptied one in the same statement. Where such a table
keeps rows, its foreign key is lifted: dropped before, and added again after, which also checks the
rows that stay. That needs ownership; without it the table is emptied by DELETE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.catalog import ForeignKey, Kind, Table
from aperture_db.connection import Connection
from aperture_db.purge.counting import Counted
from aperture_db.purge.selection import Selection, TableEffect


@dataclass(frozen=True)
class KeyDefinition:
    """What it takes to add a foreign key again exactly as it was."""

    table_oid: int
    name: str
    definition: str
    """Behind ADD CONSTRAINT: ON DELETE action, deferrability and NOT VALID included."""
    comment: str | None


@dataclass(frozen=True)
class LiftedKey:
    """A foreign key that is dropped and added again."""

    table: Table
    definition: KeyDefinition


@dataclass(frozen=True)
class Ways:
    truncated: tuple[Table, ...]
    deleted: tuple[TableEffect, ...]
    """In an order in which a table comes before those that it refers to."""
    lifted: tuple[LiftedKey, ...]


def read_key_definitions(conn: Connection) -> dict[tuple[int, str], KeyDefinition]:
    """The foreign keys that can be dropped and added again without a trace, by table and name."""
    with conn.cursor(row_factory=class_row(KeyDefinition)) as cursor:
        rows = cursor.execute(queries.load("purge/key_definitions"))
        return {(key.table_oid, key.name): key for key in rows}


def choose_ways(
    selection: Selection,
    counts: Mapping[int, Counted],
    definitions: Mapping[tuple[int, str], KeyDefinition],
) -> Ways:
    """The fastest way for each table that loses rows."""
    losing = [effect for effect in selection.effects if effect.going is not None]
    truncated = {
        effect.table.oid: effect.table
        for effect in losing
        if (effect.is_whole or counts[effect.table.oid].is_all)
        and effect.table.may_truncate
        and effect.table.kind in (Kind.TABLE, Kind.PARTITIONED)
    }

    def can_be_lifted(key: ForeignKey) -> bool:
        both = (selection.tables[key.table_oid], selection.tables[key.referenced_oid])
        return (key.table_oid, key.name) in definitions and all(table.is_owner for table in both)

    while refused := {
        oid
        for oid in truncated
        for key in selection.inbound_keys.get(oid, ())
        if key.table_oid not in truncated and not can_be_lifted(key)
    }:
        truncated = {oid: table for oid, table in truncated.items() if oid not in refused}
    deleted = [effect for effect in losing if effect.table.oid not in truncated]
    lifted = [
        LiftedKey(selection.tables[key.table_oid], definitions[key.table_oid, key.name])
        for oid in truncated
        for key in selection.inbound_keys.get(oid, ())
        if key.table_oid not in truncated
    ]
    return Ways(tuple(truncated.values()), tuple(reversed(deleted)), tuple(lifted))
