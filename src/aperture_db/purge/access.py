"""Who owns Aperture's tables and who else may use them, so that a rebuild leaves it so."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.postgres.connection import Connection
from aperture_db.postgres.privileges import Privileges, read_privileges, set_privileges
from aperture_db.purge.possessions import Possessions

TRACKING_TABLE = "aperture_migrations"


@dataclass(frozen=True)
class Access:
    """Owners by the names of tables and functions, and what others may do with these."""

    table_owners: dict[str, str]
    function_owners: dict[str, str]
    privileges: Privileges

    @property
    def main_owner(self) -> str:
        """For what the rebuild makes and was not there before."""
        return self.table_owners[TRACKING_TABLE]


def read_access(conn: Connection, possessions: Possessions) -> Access:
    return Access(
        {table.name: table.owner for table in possessions.tables},
        {function.signature: function.owner for function in possessions.functions},
        _privileges_on(conn, possessions),
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
    set_privileges(conn, now=_privileges_on(conn, possessions), wanted=access.privileges)


def _privileges_on(conn: Connection, possessions: Possessions) -> Privileges:
    return read_privileges(
        conn,
        [table.oid for table in possessions.tables],
        [function.oid for function in possessions.functions],
    )
