"""The rows that a purge deletes or updates, as conditions, and their exact numbers.

A scope names some; the foreign keys of the catalog add rows that are deleted with them and columns
that are set to null.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.aperture.schema import read_embedding_tables
from aperture_db.errors import ApertureDbError
from aperture_db.postgres import catalog
from aperture_db.postgres.catalog import ForeignKey, Table
from aperture_db.postgres.session import Connection
from aperture_db.purge.scopes import NULL, Reset, Rows, Scope

TRUE = sql.SQL("true")
FALSE = sql.SQL("false")
OLDEST_MEDIA_TYPE = "movie"
CASCADE, SET_NULL = "CASCADE", "SET NULL"


@dataclass(frozen=True)
class ColumnChange:
    """Columns that get another value in the rows that meet a condition."""

    columns: Mapping[str, str]
    """The new value, as SQL, by column."""
    condition: sql.Composable
    """Met only by rows in which a value really changes."""
    effect: str


@dataclass(frozen=True)
class TableEffect:
    """The effect of a purge on one table."""

    table: Table
    deleted: sql.Composable | None
    """The condition of the rows that are deleted; None when none is."""
    is_whole: bool
    """Every row is deleted."""
    changes: tuple[ColumnChange, ...]


@dataclass(frozen=True)
class Obstacle:
    """Rows of a table out of scope, whose foreign key forbids deleting the rows they refer to."""

    table: Table
    key: ForeignKey
    condition: sql.Composable


@dataclass(frozen=True)
class EffectCounts:
    """Rows of one table."""

    total: int
    deleted: int
    changed: tuple[int, ...]
    """By the changes of the table's effect, in their order."""

    @property
    def is_all(self) -> bool:
        """Rows are deleted and none is left."""
        return 0 < self.deleted == self.total


@dataclass(frozen=True)
class PurgeSelection:
    """The effects in an order in which a table comes after those that it refers to."""

    effects: tuple[TableEffect, ...]
    obstacles: tuple[Obstacle, ...]
    inbound_keys: Mapping[int, Sequence[ForeignKey]]
    """The foreign keys onto a table, by its oid."""
    tables: Mapping[int, Table]
    """Every table of the database, by its oid."""


def select(conn: Connection, scope: Scope) -> PurgeSelection:
    """Follow the foreign keys from the scope's rows through the catalog. Reads only."""
    tables = catalog.read_tables(conn)
    selector = _Selector(
        tables={table.oid: table for table in tables},
        visible=catalog.visible_tables(tables),
        keys=catalog.read_foreign_keys(conn),
    )
    for rows in scope.rows:
        selector.add_rows(rows)
    for embedding_table in read_embedding_tables(conn):
        if embedding_table.media in scope.embeddings:
            selector.add_rows(Rows(embedding_table.name))
    for reset in scope.resets:
        selector.add_reset(reset)
    return selector.finish()


def whole_selection(tables: Sequence[Table], others: Sequence[Table]) -> PurgeSelection:
    """All rows of `tables`; `others` are those that are not touched."""
    effects = tuple(TableEffect(table, TRUE, True, ()) for table in tables)
    return PurgeSelection(effects, (), {}, {table.oid: table for table in (*tables, *others)})


def count_effects(conn: Connection, effects: Sequence[TableEffect]) -> dict[int, EffectCounts]:
    """Count all of them; by the table's oid."""
    counts = [_count(effect) for effect in effects]
    with conn.without_index_only_scans():
        rows = conn.fetch_counts(counts)
    return {
        oid: EffectCounts(total, deleted, tuple(changed)) for oid, total, deleted, changed in rows
    }


def count_obstacle(conn: Connection, obstacle: Obstacle) -> int:
    """Count the rows that forbid the purge."""
    query = sql.SQL("SELECT count(*) FROM {} WHERE {}")
    row = conn.execute(query.format(obstacle.table.identifier, obstacle.condition)).fetchone()
    assert row is not None
    return int(row[0])


def _count(effect: TableEffect) -> sql.Composed:
    changed = [
        sql.SQL("count(*) FILTER (WHERE {})").format(change.condition) for change in effect.changes
    ]
    return sql.SQL(queries.load("purge/count_effect")).format(
        oid=effect.table.oid,
        deleted=effect.deleted or FALSE,
        changed=sql.SQL(", ").join(changed),
        table=effect.table.identifier,
    )


class _Selector:
    """Collects conditions per table."""

    def __init__(
        self, tables: Mapping[int, Table], visible: Mapping[str, Table], keys: list[ForeignKey]
    ) -> None:
        self._tables = tables
        self._visible = visible
        self._keys = keys
        self._inbound: dict[int, list[ForeignKey]] = defaultdict(list)
        for key in keys:
            self._inbound[key.referenced_oid].append(key)
        self._deleted: dict[int, list[sql.Composable]] = defaultdict(list)
        self._changes: dict[int, list[ColumnChange]] = defaultdict(list)
        self._obstacles: list[Obstacle] = []

    def add_rows(self, rows: Rows) -> None:
        table = self._visible.get(rows.table)
        if table is None:
            return
        condition = _own_condition(table, rows.media, rows.where)
        if condition is not None:
            self._deleted[table.oid].append(condition)

    def add_reset(self, reset: Reset) -> None:
        """Note the columns that are there; nothing for a table that this version lacks."""
        table = self._visible.get(reset.table)
        if table is None:
            return
        columns = {name: value for name, value in reset.columns.items() if name in table.columns}
        condition = _own_condition(table, reset.media, reset.where)
        if columns and condition is not None:
            condition = _all_of([condition, _differs(columns)])
            self._changes[table.oid].append(ColumnChange(columns, condition, reset.effect))

    def finish(self) -> PurgeSelection:
        effects: dict[int, TableEffect] = {}
        for oid in self._referenced_first():
            for key in self._keys:
                parent = effects.get(key.referenced_oid)
                if key.table_oid == oid and parent and parent.deleted is not None:
                    self._follow(key, parent)
            effects[oid] = self._effect(oid)
        return PurgeSelection(
            effects=tuple(e for e in effects.values() if e.deleted is not None or e.changes),
            obstacles=tuple(
                Obstacle(o.table, o.key, _without(o.condition, effects[o.table.oid].deleted))
                for o in self._obstacles
                if not effects[o.table.oid].is_whole
            ),
            inbound_keys=self._inbound,
            tables=self._tables,
        )

    def _follow(self, key: ForeignKey, parent: TableEffect) -> None:
        """Note the effect of a foreign key on its own table when referenced rows are deleted."""
        condition = _refers_to(key, parent)
        if key.on_delete == CASCADE:
            takes_all = parent.is_whole and key.is_never_null
            self._deleted[key.table_oid].append(TRUE if takes_all else condition)
        elif key.on_delete == SET_NULL:
            change = ColumnChange(
                dict.fromkeys(key.columns, NULL),
                condition,
                f"no longer refers to {parent.table.name}",
            )
            self._changes[key.table_oid].append(change)
        else:
            self._obstacles.append(Obstacle(self._tables[key.table_oid], key, condition))

    def _effect(self, oid: int) -> TableEffect:
        conditions = self._deleted.get(oid, [])
        is_whole = TRUE in conditions
        deleted = TRUE if is_whole else _any_of(conditions) if conditions else None
        changes = () if is_whole else tuple(
            ColumnChange(change.columns, _without(change.condition, deleted), change.effect)
            for change in self._changes.get(oid, [])
        )  # fmt: skip
        return TableEffect(self._tables[oid], deleted, is_whole, changes)

    def _referenced_first(self) -> list[int]:
        """Sort the tables of the scope and all that refer to them, referenced ones first."""
        graph: dict[int, set[int]] = {oid: set() for oid in self._changes}
        waiting = list(self._deleted)
        while waiting:
            oid = waiting.pop()
            graph.setdefault(oid, set())
            for key in self._inbound[oid]:
                if key.table_oid not in graph:
                    waiting.append(key.table_oid)
                if key.table_oid != oid:
                    graph.setdefault(key.table_oid, set()).add(oid)
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            names = sorted({self._tables[oid].name for oid in error.args[1]})
            raise ApertureDbError(
                "the tables cannot be purged",
                why=f"their foreign keys form a cycle: {', '.join(names)}",
                next_step="drop the foreign key that is not Aperture's, add it again afterwards",
                code="foreign_key_cycle",
            ) from error


def _own_condition(table: Table, media: Sequence[str], where: str | None) -> sql.Composable | None:
    """The rows that a scope names in a table; None when this version can't have any."""
    conditions: list[sql.Composable] = []
    if media and "media_type" in table.columns:
        values = sql.SQL(", ").join(sql.Literal(str(each)) for each in media)
        conditions.append(sql.SQL("media_type IN ({})").format(values))
    elif media and OLDEST_MEDIA_TYPE not in media:
        return None
    if where:
        conditions.append(sql.SQL(where))
    return _all_of(conditions) if conditions else TRUE


def _refers_to(key: ForeignKey, parent: TableEffect) -> sql.Composable:
    columns = [sql.Identifier(name) for name in key.columns]
    if parent.is_whole:
        return _all_of([sql.SQL("{} IS NOT NULL").format(column) for column in columns])
    assert parent.deleted is not None
    return sql.SQL("({}) IN (SELECT {} FROM {} WHERE {})").format(
        sql.SQL(", ").join(columns),
        sql.SQL(", ").join(map(sql.Identifier, key.referenced_columns)),
        parent.table.identifier,
        parent.deleted,
    )


def _differs(columns: Mapping[str, str]) -> sql.Composable:
    return _any_of(
        [
            sql.SQL("{} IS DISTINCT FROM {}").format(sql.Identifier(name), sql.SQL(value))
            for name, value in columns.items()
        ]
    )


def _without(condition: sql.Composable, deleted: sql.Composable | None) -> sql.Composable:
    """`condition`, but not for rows that are deleted anyway."""
    if deleted is None:
        return condition
    return _all_of([condition, sql.SQL("({}) IS NOT TRUE").format(deleted)])


def _all_of(conditions: Sequence[sql.Composable]) -> sql.Composable:
    return _joined(conditions, " AND ")


def _any_of(conditions: Sequence[sql.Composable]) -> sql.Composable:
    return _joined(conditions, " OR ")


def _joined(conditions: Sequence[sql.Composable], word: str) -> sql.Composable:
    if len(conditions) == 1:
        return conditions[0]
    return sql.SQL(word).join(sql.SQL("({})").format(each) for each in conditions)
