"""How rows leave each table: TRUNCATE where a whole table can go, DELETE where it is shared.

TRUNCATE wants every table that refers to the emptied one in the same statement. Where such a table
keeps rows, its foreign key is lifted: dropped before, and added again after, which also checks the
rows that stay. That needs ownership; without it the table is emptied by DELETE.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Set
from dataclasses import dataclass

from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.postgres.catalog import ForeignKey, RelationKind, Table
from aperture_db.postgres.connection import Connection
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
    pageless: Container[int],
) -> Ways:
    """The fastest way for each table that loses rows.

    `pageless` are the oids of tables that occupy nothing. To lift their foreign keys takes a
    fraction of the time that TRUNCATE takes to make new files for them and their indexes.
    """

    def can_be_lifted(key: ForeignKey) -> bool:
        both = (selection.tables[key.table_oid], selection.tables[key.referenced_oid])
        return (key.table_oid, key.name) in definitions and all(table.is_owner for table in both)

    truncated = _truncatable(selection, counts)
    while refused := {
        key.referenced_oid
        for key in _keys_from_outside(selection, truncated)
        if not can_be_lifted(key)
    }:
        truncated -= refused
    truncated -= {
        oid
        for oid in truncated
        if oid in pageless
        and all(can_be_lifted(key) for key in _keys_between(selection, oid, truncated))
    }
    losing = [effect for effect in selection.effects if effect.going is not None]
    return Ways(
        truncated=tuple(each.table for each in losing if each.table.oid in truncated),
        deleted=tuple(each for each in reversed(losing) if each.table.oid not in truncated),
        lifted=tuple(
            LiftedKey(selection.tables[key.table_oid], definitions[key.table_oid, key.name])
            for key in _keys_from_outside(selection, truncated)
        ),
    )


def _truncatable(selection: Selection, counts: Mapping[int, Counted]) -> set[int]:
    """The tables that go whole and that the role may truncate."""
    return {
        effect.table.oid
        for effect in selection.effects
        if (effect.is_whole or counts[effect.table.oid].is_all)
        and effect.table.may_truncate
        and effect.table.kind in (RelationKind.TABLE, RelationKind.PARTITIONED)
    }


def _keys_from_outside(selection: Selection, oids: Set[int]) -> list[ForeignKey]:
    """The foreign keys onto these tables from others."""
    return [
        key
        for oid in sorted(oids)
        for key in selection.inbound_keys.get(oid, ())
        if key.table_oid not in oids
    ]


def _keys_between(selection: Selection, oid: int, oids: Set[int]) -> list[ForeignKey]:
    """The foreign keys of one table onto these."""
    return [
        key
        for other in oids
        for key in selection.inbound_keys.get(other, ())
        if key.table_oid == oid
    ]
