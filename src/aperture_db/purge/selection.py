"""Which rows of which tables a purge concerns, as conditions: what a scope names, and what the
foreign keys of the catalog take along or set to null."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from psycopg import sql

from aperture_db.aperture import read_embedding_tables
from aperture_db.errors import ApertureDbError
from aperture_db.postgres import catalog
from aperture_db.postgres.catalog import ForeignKey, Table
from aperture_db.postgres.connection import Connection
from aperture_db.purge.scopes import NULL, Reset, Rows, Scope

TRUE = sql.SQL("true")
OLDEST_MEDIA_TYPE = "movie"
CASCADE, SET_NULL = "CASCADE", "SET NULL"


@dataclass(frozen=True)
class Change:
    """Columns that get another value in the rows that meet a condition."""

    columns: Mapping[str, str]
    """The new value, as SQL, by column."""
    condition: sql.Composable
    """Met only by rows in which a value really changes."""
    effect: str


@dataclass(frozen=True)
class TableEffect:
    """What happens to one table."""

    table: Table
    going: sql.Composable | None
    """The condition of the rows that go; None when none does."""
    is_whole: bool
    """Every row goes."""
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Obstacle:
    """Rows of a table that is out of scope and whose foreign key forbids to delete what they
    refer to."""

    table: Table
    key: ForeignKey
    condition: sql.Composable


@dataclass(frozen=True)
class Selection:
    """The effects in an order in which a table comes after those that it refers to."""

    effects: tuple[TableEffect, ...]
    obstacles: tuple[Obstacle, ...]
    inbound_keys: Mapping[int, Sequence[ForeignKey]]
    """The foreign keys onto a table, by its oid."""
    tables: Mapping[int, Table]
    """Every table of the database, by its oid."""


def select(conn: Connection, scope: Scope) -> Selection:
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
        self._going: dict[int, list[sql.Composable]] = defaultdict(list)
        self._changes: dict[int, list[Change]] = defaultdict(list)
        self._obstacles: list[Obstacle] = []

    def add_rows(self, rows: Rows) -> None:
        table = self._visible.get(rows.table)
        if table is None:
            return
        condition = _own_condition(table, rows.media, rows.where)
        if condition is not None:
            self._going[table.oid].append(condition)

    def add_reset(self, reset: Reset) -> None:
        """Note the columns that are there; nothing for a table that this version lacks."""
        table = self._visible.get(reset.table)
        if table is None:
            return
        columns = {name: value for name, value in reset.columns.items() if name in table.columns}
        condition = _own_condition(table, reset.media, reset.where)
        if columns and condition is not None:
            condition = _all_of([condition, _differs(columns)])
            self._changes[table.oid].append(Change(columns, condition, reset.effect))

    def finish(self) -> Selection:
        effects: dict[int, TableEffect] = {}
        for oid in self._referenced_first():
            for key in self._keys:
                parent = effects.get(key.referenced_oid)
                if key.table_oid == oid and parent and parent.going is not None:
                    self._follow(key, parent)
            effects[oid] = self._effect(oid)
        return Selection(
            effects=tuple(e for e in effects.values() if e.going is not None or e.changes),
            obstacles=tuple(
                Obstacle(o.table, o.key, _without(o.condition, effects[o.table.oid].going))
                for o in self._obstacles
                if not effects[o.table.oid].is_whole
            ),
            inbound_keys=self._inbound,
            tables=self._tables,
        )

    def _follow(self, key: ForeignKey, parent: TableEffect) -> None:
        """Note what a foreign key does to its own table when rows that it refers to go."""
        condition = _refers_to(key, parent)
        if key.on_delete == CASCADE:
            takes_all = parent.is_whole and key.is_never_null
            self._going[key.table_oid].append(TRUE if takes_all else condition)
        elif key.on_delete == SET_NULL:
            change = Change(
                dict.fromkeys(key.columns, NULL),
                condition,
                f"no longer tied to {parent.table.name}",
            )
            self._changes[key.table_oid].append(change)
        else:
            self._obstacles.append(Obstacle(self._tables[key.table_oid], key, condition))

    def _effect(self, oid: int) -> TableEffect:
        conditions = self._going.get(oid, [])
        is_whole = TRUE in conditions
        going = TRUE if is_whole else _any_of(conditions) if conditions else None
        changes = () if is_whole else tuple(
            Change(change.columns, _without(change.condition, going), change.effect)
            for change in self._changes.get(oid, [])
        )  # fmt: skip
        return TableEffect(self._tables[oid], going, is_whole, changes)

    def _referenced_first(self) -> list[int]:
        """The tables that can be concerned: those of the scope and all that refer to them."""
        graph: dict[int, set[int]] = {oid: set() for oid in self._changes}
        waiting = list(self._going)
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
                "the tables can't be purged",
                why=f"foreign keys lead around in a circle: {', '.join(names)}",
                next_step="drop the foreign key that is not Aperture's, and add it again after",
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
    assert parent.going is not None
    return sql.SQL("({}) IN (SELECT {} FROM {} WHERE {})").format(
        sql.SQL(", ").join(columns),
        sql.SQL(", ").join(map(sql.Identifier, key.referenced_columns)),
        parent.table.identifier,
        parent.going,
    )


def _differs(columns: Mapping[str, str]) -> sql.Composable:
    return _any_of(
        [
            sql.SQL("{} IS DISTINCT FROM {}").format(sql.Identifier(name), sql.SQL(value))
            for name, value in columns.items()
        ]
    )


def _without(condition: sql.Composable, going: sql.Composable | None) -> sql.Composable:
    """`condition`, but not for rows that go anyway."""
    if going is None:
        return condition
    return _all_of([condition, sql.SQL("({}) IS NOT TRUE").format(going)])


def _all_of(conditions: Sequence[sql.Composable]) -> sql.Composable:
    return _joined(conditions, " AND ")


def _any_of(conditions: Sequence[sql.Composable]) -> sql.Composable:
    return _joined(conditions, " OR ")


def _joined(conditions: Sequence[sql.Composable], word: str) -> sql.Composable:
    if len(conditions) == 1:
        return conditions[0]
    return sql.SQL(word).join(sql.SQL("({})").format(each) for each in conditions)
