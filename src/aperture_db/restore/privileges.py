"""Privileges on tables, which a dump does not carry: kept from before to after a restore."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql as identifiers
from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.connection import Connection
from aperture_db.restore.objects import DatabaseObject

# The words come from the server's own catalogs.
PRIVILEGES = {
    "SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN",
    "USAGE",
}  # fmt: skip


@dataclass(frozen=True)
class Privilege:
    """One privilege of one role on a table or sequence, or on a column of it."""

    schema: str
    name: str
    column_name: str | None
    is_sequence: bool
    privilege: str
    grantee: str | None
    """None for PUBLIC."""
    is_grantable: bool

    def grant(self) -> identifiers.Composed:
        """The statement that gives it again."""
        column: identifiers.Composable = identifiers.SQL("")
        if self.column_name is not None:
            column = identifiers.SQL(" ({})").format(identifiers.Identifier(self.column_name))
        return identifiers.SQL("GRANT {}{} ON {} {} TO {}{}").format(
            identifiers.SQL(self.privilege),
            column,
            identifiers.SQL("SEQUENCE" if self.is_sequence else "TABLE"),
            identifiers.Identifier(self.schema, self.name),
            identifiers.Identifier(self.grantee) if self.grantee else identifiers.SQL("PUBLIC"),
            identifiers.SQL(" WITH GRANT OPTION" if self.is_grantable else ""),
        )


def read_privileges(conn: Connection, objects: Iterable[DatabaseObject]) -> tuple[Privilege, ...]:
    """What others than the owner may do with these objects."""
    with conn.cursor(row_factory=class_row(Privilege)) as cursor:
        oids = [each.oid for each in objects]
        found = cursor.execute(sql.load("restore/grants"), {"oids": oids})
        return tuple(each for each in found if each.privilege in PRIVILEGES)


def grant_again(conn: Connection, privileges: Iterable[Privilege]) -> None:
    """Give the privileges back, as far as the tables and columns are there again."""
    for privilege in privileges:
        exists = conn.execute(
            "SELECT %(column)s::text IS NULL OR EXISTS (SELECT FROM pg_attribute "
            "WHERE attrelid = c.oid AND attname = %(column)s AND NOT attisdropped) "
            "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %(schema)s AND c.relname = %(name)s",
            {
                "column": privilege.column_name,
                "schema": privilege.schema,
                "name": privilege.name,
            },
        ).fetchone()
        if exists == (True,):
            conn.execute(privilege.grant())
