"""Exact numbers for a selection, and how each table loses its rows, before anything is touched.

TRUNCATE removes whole tables, DELETE the rows of tables that are shared. TRUNCATE needs every table
that refers to the emptied one in the same statement. Where such a table keeps rows, its foreign key
is dropped before and added again after, which also checks the rows that are kept. That needs
ownership; without it the table is emptied by DELETE.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.aperture.tables import group_of
from aperture_db.errors import ApertureDbError
from aperture_db.format import quote_identifier
from aperture_db.postgres import catalog
from aperture_db.postgres.catalog import ForeignKey, RelationKind, Table, TableSize
from aperture_db.postgres.connection import set_local
from aperture_db.postgres.session import Connection
from aperture_db.purge.report import Deletion, MissingPrivilege, Strategy, Update
from aperture_db.purge.selection import (
    EffectCounts,
    PurgeSelection,
    TableEffect,
    count_effects,
    count_obstacle,
)

# Conditions look into other tables; without room for a hash of their ids they would read those
# tables once per row.
WORK_MEMORY = "256MB"
# As many rows are deleted with their triggers before dropping and adding a foreign key pays.
MOST_TRIGGERS = 500


@dataclass(frozen=True)
class KeyDefinition:
    """A foreign key with everything needed to add it again exactly as it was."""

    table_oid: int
    name: str
    definition: str
    """Behind ADD CONSTRAINT: ON DELETE action, deferrability and NOT VALID included."""
    comment: str | None


@dataclass(frozen=True)
class DroppedKey:
    """A foreign key that is dropped and added again."""

    table: Table
    definition: KeyDefinition


@dataclass(frozen=True)
class Strategies:
    """The tables by the way in which they lose their rows."""

    truncated: tuple[Table, ...] = ()
    deleted: tuple[TableEffect, ...] = ()
    """In an order in which a table comes before those that it refers to."""
    dropped_keys: tuple[DroppedKey, ...] = ()


@dataclass(frozen=True)
class Assessment:
    """Exact numbers for a selection, and the strategy for each table."""

    counts: Mapping[int, EffectCounts]
    sizes: Mapping[int, TableSize]
    """Of the tables that lose rows, before."""
    strategies: Strategies
    deletions: tuple[Deletion, ...]
    updates: tuple[Update, ...]
    missing: tuple[MissingPrivilege, ...]

    @property
    def rows(self) -> int:
        return sum(deletion.rows for deletion in self.deletions)

    @property
    def updated_rows(self) -> int:
        return sum(update.rows for update in self.updates)


def assess(
    conn: Connection, selection: PurgeSelection, role: str, sizes: Mapping[int, TableSize]
) -> Assessment:
    """Count everything within the open transaction. `sizes` are those of `read_sizes`.

    Raises ApertureDbError when the role may not read a table, or when rows that are out of scope
    refer to deleted rows by a foreign key that forbids it.
    """
    to_read = [("SELECT", effect.table, effect.table.may_select) for effect in selection.effects]
    require_privileges(_missing(conn, to_read, role), role)
    set_local(conn, work_mem=WORK_MEMORY)
    _require_no_obstacles(conn, selection)
    counts = count_effects(conn, selection.effects)
    pageless = {oid for oid, size in sizes.items() if not size.pages}
    strategies = choose_strategies(selection, counts, read_key_definitions(conn), pageless)
    return Assessment(
        counts,
        sizes,
        strategies,
        tuple(_deletions(selection, counts, strategies, sizes)),
        tuple(_updates(selection, counts)),
        _missing(conn, _wanted_to_write(selection, strategies), role),
    )


def assess_rebuild(
    conn: Connection, selection: PurgeSelection, sizes: Mapping[int, TableSize]
) -> Assessment:
    """Count the rows that a rebuild drops: every row of Aperture's tables."""
    counts = count_effects(conn, selection.effects)
    deletions = _deletions(selection, counts, Strategies(), sizes)
    rebuilt = tuple(replace(deletion, way=Strategy.REBUILD) for deletion in deletions)
    return Assessment(counts, sizes, Strategies(), rebuilt, (), ())


def require_privileges(missing: Sequence[MissingPrivilege], role: str) -> None:
    """Raise ApertureDbError that names every missing privilege and how to grant it."""
    if missing:
        named = "; ".join(f"{each.privilege} on {', '.join(each.tables)}" for each in missing)
        raise ApertureDbError(
            f"role {role} lacks privileges for this purge, nothing was changed",
            why=f"it lacks {named}",
            next_step="connect as the owner of Aperture's tables, which is also faster; "
            "or as the owner run: " + " ".join(each.grant for each in missing),
            code="no_privilege",
        )


def read_sizes(conn: Connection, selection: PurgeSelection) -> dict[int, TableSize]:
    """The sizes of the tables that lose rows, by oid."""
    losing = [effect.table for effect in selection.effects if effect.deleted is not None]
    return catalog.read_sizes(conn, losing)


def shown_name(table: Table) -> str:
    """The bare name where that finds the table."""
    return table.name if table.is_visible else f"{table.schema}.{table.name}"


def read_key_definitions(conn: Connection) -> dict[tuple[int, str], KeyDefinition]:
    """The foreign keys that can be dropped and added again without a trace, by table and name."""
    with conn.cursor(row_factory=class_row(KeyDefinition)) as cursor:
        rows = cursor.execute(queries.load("purge/key_definitions"))
        return {(key.table_oid, key.name): key for key in rows}


def choose_strategies(
    selection: PurgeSelection,
    counts: Mapping[int, EffectCounts],
    definitions: Mapping[tuple[int, str], KeyDefinition],
    pageless: Container[int],
) -> Strategies:
    """Choose the fastest strategy for each table that loses rows.

    `pageless` are the oids of tables that occupy nothing. Dropping and adding their foreign keys
    takes a fraction of the time that TRUNCATE takes to create new files for them and their indexes.
    """

    def can_be_dropped(key: ForeignKey) -> bool:
        both = (selection.tables[key.table_oid], selection.tables[key.referenced_oid])
        return (key.table_oid, key.name) in definitions and all(table.is_owner for table in both)

    truncated = _truncatable(selection, counts)
    while refused := {
        key.referenced_oid
        for key in _keys_from_outside(selection, truncated)
        if not can_be_dropped(key)
    }:
        truncated -= refused
    truncated -= {
        oid
        for oid in truncated
        if oid in pageless
        and all(can_be_dropped(key) for key in _keys_between(selection, oid, truncated))
    }
    losing = [effect for effect in selection.effects if effect.deleted is not None]
    return Strategies(
        truncated=tuple(each.table for each in losing if each.table.oid in truncated),
        deleted=tuple(each for each in reversed(losing) if each.table.oid not in truncated),
        dropped_keys=tuple(
            DroppedKey(selection.tables[key.table_oid], definitions[key.table_oid, key.name])
            for key in (
                *_keys_from_outside(selection, truncated),
                *(
                    key
                    for key in _keys_of_emptied(selection, counts, truncated)
                    if can_be_dropped(key)
                ),
            )
        ),
    )


def _truncatable(selection: PurgeSelection, counts: Mapping[int, EffectCounts]) -> set[int]:
    """The tables that lose every row and that the role may truncate."""
    return {
        effect.table.oid
        for effect in selection.effects
        if (effect.is_whole or counts[effect.table.oid].is_all)
        and effect.table.may_truncate
        and effect.table.kind in (RelationKind.TABLE, RelationKind.PARTITIONED)
    }


def _keys_from_outside(selection: PurgeSelection, oids: Set[int]) -> list[ForeignKey]:
    """The foreign keys onto these tables from others."""
    return [
        key
        for oid in sorted(oids)
        for key in selection.inbound_keys.get(oid, ())
        if key.table_oid not in oids
    ]


def _keys_of_emptied(
    selection: PurgeSelection, counts: Mapping[int, EffectCounts], truncated: Set[int]
) -> list[ForeignKey]:
    """The foreign keys of emptied tables onto tables that lose many rows by DELETE: their triggers
    would look once per row for what is not there."""
    deleted = {
        effect.table.oid
        for effect in selection.effects
        if effect.table.oid not in truncated and counts[effect.table.oid].deleted > MOST_TRIGGERS
    }
    return [
        key
        for oid in sorted(deleted)
        for key in selection.inbound_keys.get(oid, ())
        if key.table_oid in truncated
    ]


def _keys_between(selection: PurgeSelection, oid: int, oids: Set[int]) -> list[ForeignKey]:
    """The foreign keys of one table onto these."""
    return [
        key
        for other in oids
        for key in selection.inbound_keys.get(other, ())
        if key.table_oid == oid
    ]


def _require_no_obstacles(conn: Connection, selection: PurgeSelection) -> None:
    for obstacle in selection.obstacles:
        if rows := count_obstacle(conn, obstacle):
            referenced = selection.tables[obstacle.key.referenced_oid].name
            raise ApertureDbError(
                f"{referenced} cannot be purged: {rows:,} rows of {obstacle.table.name} "
                "refer to it",
                why=f"the foreign key {obstacle.key.name} is ON DELETE {obstacle.key.on_delete}, "
                "and that table is not Aperture's",
                next_step=f"delete those rows, or make that foreign key ON DELETE CASCADE: "
                f"ALTER TABLE {quote_identifier(obstacle.table.name)} "
                f"DROP CONSTRAINT {quote_identifier(obstacle.key.name)}, "
                "ADD …;",
                code="rows_in_the_way",
            )


def _deletions(
    selection: PurgeSelection,
    counts: Mapping[int, EffectCounts],
    strategies: Strategies,
    sizes: Mapping[int, TableSize],
) -> Iterator[Deletion]:
    truncated = {table.oid for table in strategies.truncated}
    for effect in selection.effects:
        if effect.deleted is None:
            continue
        table = effect.table
        rows = counts[table.oid].deleted
        by_row = Strategy.DELETE if rows else Strategy.SKIP
        yield Deletion(
            table=shown_name(table),
            group=group_of(table.name) if table.is_visible else None,
            rows=rows,
            rows_before=counts[table.oid].total,
            size_bytes=sizes[table.oid].total_bytes if table.oid in sizes else 0,
            way=Strategy.TRUNCATE if table.oid in truncated else by_row,
        )


def _updates(selection: PurgeSelection, counts: Mapping[int, EffectCounts]) -> Iterator[Update]:
    for effect in selection.effects:
        changed = counts[effect.table.oid].changed
        for change, rows in zip(effect.changes, changed, strict=True):
            yield Update(
                table=shown_name(effect.table),
                columns=tuple(change.columns),
                value=", ".join(sorted(set(change.columns.values()))),
                rows=rows,
                effect=change.effect,
            )


def _missing(
    conn: Connection, wanted: Iterable[tuple[str, Table, bool]], role: str
) -> tuple[MissingPrivilege, ...]:
    """Those of the wanted privileges on tables that the role lacks, by privilege."""
    tables: dict[str, list[Table]] = {}
    for privilege, table, is_granted in wanted:
        if not is_granted:
            tables.setdefault(privilege, []).append(table)
    return tuple(
        MissingPrivilege(
            privilege,
            tuple(map(shown_name, each)),
            f"GRANT {privilege} ON TABLE "
            f"{', '.join(table.identifier.as_string(conn) for table in each)} "
            f"TO {quote_identifier(role)};",
        )
        for privilege, each in tables.items()
    )


def _wanted_to_write(
    selection: PurgeSelection, strategies: Strategies
) -> Iterator[tuple[str, Table, bool]]:
    for effect in strategies.deleted:
        yield "DELETE", effect.table, effect.table.may_delete
    for effect in selection.effects:
        if effect.changes:
            yield "UPDATE", effect.table, effect.table.may_update
