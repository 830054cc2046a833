"""Who may use tables and functions, kept while they are made anew: neither a dump nor a migration
carries that."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from psycopg import sql as identifiers
from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.postgres.session import Connection


@dataclass(frozen=True)
class Privilege:
    """What one role other than the owner may do with one object, or with a column of it."""

    kind: str
    """TABLE, SEQUENCE or ROUTINE: the word for GRANT."""
    identity: str
    """Quoted, with its schema and the arguments of a function: ready for a statement."""
    column_name: str | None
    privilege: str
    """Empty where nobody but the owner may use the object."""
    grantee: str | None
    """None for PUBLIC."""
    is_grantable: bool

    @property
    def place(self) -> tuple[str, str | None]:
        """The object, or the column of it."""
        return self.identity, self.column_name

    def statement(self, query: str) -> identifiers.Composed:
        """`grant` or `revoke` it."""
        column: identifiers.Composable = identifiers.SQL("")
        if self.column_name is not None:
            column = identifiers.SQL(" ({})").format(identifiers.Identifier(self.column_name))
        return identifiers.SQL(sql.load(f"postgres/{query}")).format(
            # The words and the identity are the server's own.
            privilege=identifiers.SQL(self.privilege),
            column=column,
            kind=identifiers.SQL(self.kind),
            object=identifiers.SQL(self.identity),
            grantee=identifiers.Identifier(self.grantee)
            if self.grantee
            else identifiers.SQL("PUBLIC"),
            option=identifiers.SQL("WITH GRANT OPTION" if self.is_grantable else ""),
        )


@dataclass(frozen=True)
class Privileges:
    """Everything that others than the owners may do with some objects."""

    held: tuple[Privilege, ...]
    places: frozenset[tuple[str, str | None]]
    """All of these objects and their columns, also those that nobody else may use."""


def read_privileges(
    conn: Connection, relation_oids: Collection[int], routine_oids: Collection[int]
) -> Privileges:
    """Of tables, views and sequences, the sequences that the tables own, and routines."""
    parameters = {"relations": list(relation_oids), "routines": list(routine_oids)}
    with conn.cursor(row_factory=class_row(Privilege)) as cursor:
        found = cursor.execute(sql.load("postgres/held"), parameters).fetchall()
    return Privileges(
        tuple(each for each in found if each.privilege), frozenset(each.place for each in found)
    )


def set_privileges(conn: Connection, now: Privileges, wanted: Privileges) -> None:
    """Make them what they were. What was not there before keeps what it was made with: objects
    are told by their names, since new ones have other oids. Needs the rights of the owners."""
    for privilege in now.held:
        if privilege not in wanted.held and privilege.place in wanted.places:
            conn.execute(privilege.statement("revoke"))
    for privilege in wanted.held:
        if privilege not in now.held and privilege.place in now.places:
            conn.execute(privilege.statement("grant"))
