"""Aperture's own tables and functions, with their owners and privileges, for a rebuild."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.aperture.tables import FUNCTIONS, MIGRATIONS_TABLE, group_of
from aperture_db.migrations.directory import MigrationFile
from aperture_db.postgres import catalog
from aperture_db.postgres.catalog import RelationKind, Table
from aperture_db.postgres.privileges import Privileges, read_privileges, set_privileges
from aperture_db.postgres.session import Connection


@dataclass(frozen=True)
class Function:
    oid: int
    name: str
    signature: str
    """Name and argument types, as DROP FUNCTION takes them."""
    owner: str
    is_owner: bool


@dataclass(frozen=True)
class OwnedObjects:
    """Aperture's tables and functions; everything else in the database belongs to others."""

    tables: tuple[Table, ...]
    functions: tuple[Function, ...]
    others: tuple[Table, ...]


@dataclass(frozen=True)
class Access:
    """Owners by the names of tables and functions, and the privileges of other roles on these."""

    table_owners: dict[str, str]
    function_owners: dict[str, str]
    privileges: Privileges

    @property
    def main_owner(self) -> str:
        """The owner of objects that the rebuild creates and that did not exist before."""
        return self.table_owners[MIGRATIONS_TABLE]


def find_owned_objects(conn: Connection, files: Iterable[MigrationFile]) -> OwnedObjects:
    """Find objects whose name some version of Aperture uses, or one of the `files` creates."""
    created: dict[str, set[str]] = {"TABLE": set(), "FUNCTION": set()}
    for file in files:
        for kind, name in _created(file):
            created[kind].add(name)
    tables = catalog.read_tables(conn)
    own = tuple(
        table
        for table in tables
        if table.is_visible
        and table.kind in (RelationKind.TABLE, RelationKind.PARTITIONED)
        and (group_of(table.name) is not None or table.name in created["TABLE"])
    )
    return OwnedObjects(
        tables=own,
        functions=_read_functions(conn, FUNCTIONS | created["FUNCTION"]),
        others=tuple(table for table in tables if table not in own),
    )


def drop(conn: Connection, objects: OwnedObjects) -> None:
    """Drop them. Not CASCADE: objects of others that depend on them must not be lost unseen.

    Needs ownership of each.
    """
    tables = sql.SQL(", ").join(table.identifier for table in objects.tables)
    conn.execute(sql.SQL("DROP TABLE {}").format(tables))
    if objects.functions:
        functions = sql.SQL(", ").join(sql.SQL(each.signature) for each in objects.functions)
        conn.execute(sql.SQL("DROP FUNCTION {}").format(functions))


def read_access(conn: Connection, objects: OwnedObjects) -> Access:
    return Access(
        {table.name: table.owner for table in objects.tables},
        {function.signature: function.owner for function in objects.functions},
        _privileges_on(conn, objects),
    )


def restore_access(conn: Connection, objects: OwnedObjects, access: Access) -> None:
    """Give the rebuilt objects to their former owners, and grant again what was granted.

    `objects` are those of now. Needs the right to set the owners' roles.
    """
    for table in objects.tables:
        owner = access.table_owners.get(table.name, access.main_owner)
        if owner != table.owner:
            statement = sql.SQL("ALTER TABLE {} OWNER TO {}")
            conn.execute(statement.format(table.identifier, sql.Identifier(owner)))
    for function in objects.functions:
        owner = access.function_owners.get(function.signature, access.main_owner)
        if owner != function.owner:
            statement = sql.SQL("ALTER FUNCTION {} OWNER TO {}")
            conn.execute(statement.format(sql.SQL(function.signature), sql.Identifier(owner)))
    set_privileges(conn, now=_privileges_on(conn, objects), wanted=access.privileges)


def _privileges_on(conn: Connection, objects: OwnedObjects) -> Privileges:
    return read_privileges(
        conn,
        [table.oid for table in objects.tables],
        [function.oid for function in objects.functions],
    )


def _read_functions(conn: Connection, names: Iterable[str]) -> tuple[Function, ...]:
    with conn.cursor(row_factory=class_row(Function)) as cursor:
        return tuple(cursor.execute(queries.load("purge/functions"), {"names": sorted(names)}))


def _created(file: MigrationFile) -> Iterable[tuple[str, str]]:
    """The kinds and names in a file's CREATE TABLE and CREATE FUNCTION."""
    for statement in file.statements:
        words = [token.text for token in statement.tokens[:10]]
        if words[1:3] == ["OR", "REPLACE"]:
            del words[1:3]
        if words[:1] != ["CREATE"] or words[1:2] not in (["TABLE"], ["FUNCTION"]):
            continue
        kind, rest = words[1], words[2:]
        if rest[:3] == ["IF", "NOT", "EXISTS"]:
            rest = rest[3:]
        name = rest[2] if rest[1:2] == ["."] else rest[0]
        yield kind, name.lower()
