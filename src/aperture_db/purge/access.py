"""Who owns Aperture's tables and who else may use them, so that a rebuild leaves it so."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.connection import Connection
from aperture_db.purge.possessions import Possessions

TRACKING_TABLE = "aperture_migrations"


@dataclass(frozen=True)
class Grant:
    is_sequence: bool
    name: str
    privilege: str
    grantee: str | None
    """None for PUBLIC."""
    is_grantable: bool


@dataclass(frozen=True)
class Access:
    """Owners and grants by the names of tables, sequences and functions."""

    table_owners: dict[str, str]
    function_owners: dict[str, str]
    grants: tuple[Grant, ...]

    @property
    def main_owner(self) -> str:
        """For what the rebuild makes and was not there before."""
        return self.table_owners[TRACKING_TABLE]


def read_access(conn: Connection, possessions: Possessions) -> Access:
    oids = [table.oid for table in possessions.tables]
    with conn.cursor(row_factory=class_row(Grant)) as cursor:
        grants = tuple(cursor.execute(queries.load("purge/grants"), {"tables": oids}))
    return Access(
        {table.name: table.owner for table in possessions.tables},
        {function.signature: function.owner for function in possessions.functions},
        grants,
    )


def restore_access(conn: Connection, possessions: Possessions, access: Access) -> None:
    """Give what the rebuild made to its former owners, and grant again what was granted.

    `possessions` are those of now. Needs the right to set the owners' roles.
    """
    for table in possessions.tables:
        owner = access.table_owners.get(table.name, access.main_owner)
        if owner != table.owner:
            statement = sql.SQL(queries.load("purge/own_table"))
            conn.execute(statement.format(table=table.identifier, owner=sql.Identifier(owner)))
    for function in possessions.functions:
        owner = access.function_owners.get(function.signature, access.main_owner)
        if owner != function.owner:
            statement = sql.SQL(queries.load("purge/own_function"))
            signature = sql.SQL(function.signature)
            conn.execute(statement.format(function=signature, owner=sql.Identifier(owner)))
    there = set(conn.execute(queries.load("purge/relation_names")).fetchall())
    for grant in access.grants:
        if (grant.name,) in there:
            _grant(conn, grant)


def _grant(conn: Connection, grant: Grant) -> None:
    conn.execute(
        sql.SQL(queries.load("purge/grant")).format(
            privilege=sql.SQL(grant.privilege),
            kind=sql.SQL("SEQUENCE" if grant.is_sequence else "TABLE"),
            name=sql.Identifier(grant.name),
            grantee=sql.Identifier(grant.grantee) if grant.grantee else sql.SQL("PUBLIC"),
            option=sql.SQL("WITH GRANT OPTION" if grant.is_grantable else ""),
        )
    )
