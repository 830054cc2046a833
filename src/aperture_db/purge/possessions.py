"""What in a database is Aperture's, as far as a rebuild is concerned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.aperture import FUNCTIONS, group_of
from aperture_db.migrations.directory import MigrationFile
from aperture_db.postgres import catalog
from aperture_db.postgres.catalog import RelationKind, Table
from aperture_db.postgres.connection import Connection


@dataclass(frozen=True)
class Function:
    oid: int
    name: str
    signature: str
    """Name and argument types, as DROP FUNCTION takes them."""
    owner: str
    is_owner: bool


@dataclass(frozen=True)
class Possessions:
    """Aperture's tables and functions; everything else in the database is somebody else's."""

    tables: tuple[Table, ...]
    functions: tuple[Function, ...]
    others: tuple[Table, ...]


def find_possessions(conn: Connection, files: Iterable[MigrationFile]) -> Possessions:
    """Those whose name some version of Aperture uses, or one of the recorded `files` creates."""
    created_tables: set[str] = set()
    created_functions: set[str] = set()
    for file in files:
        for kind, name in _created(file):
            (created_tables if kind == "TABLE" else created_functions).add(name)
    tables = catalog.read_tables(conn)
    own = tuple(
        table
        for table in tables
        if table.is_visible
        and table.kind in (RelationKind.TABLE, RelationKind.PARTITIONED)
        and (group_of(table.name) is not None or table.name in created_tables)
    )
    return Possessions(
        tables=own,
        functions=_read_functions(conn, FUNCTIONS | created_functions),
        others=tuple(table for table in tables if table not in own),
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
