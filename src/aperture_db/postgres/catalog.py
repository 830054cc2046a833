"""What is in a PostgreSQL database, and who may use it.

Knows nothing of Aperture. Nothing that is read needs a privilege on a table, and nothing but
`read_sizes` waits for a lock on one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.errors import ApertureDbError
from aperture_db.format import as_administrator, as_bytes, list_some, quote_identifier
from aperture_db.postgres.session import Connection

MOST_NAMED_TABLES = 8


class RelationKind(StrEnum):
    """pg_class.relkind of relations with rows."""

    TABLE = "r"
    PARTITIONED = "p"
    MATERIALIZED_VIEW = "m"
    FOREIGN = "f"


@dataclass(frozen=True)
class Table:
    """One table as the catalogs know it; its size and exact rows are separate questions."""

    oid: int
    schema: str
    name: str
    kind: str
    """One of RelationKind."""
    columns: list[str]
    """Their names, in order."""
    owner: str
    is_visible: bool
    """In Aperture's schema, so that Aperture finds it by its bare name."""
    is_populated: bool
    """False for a materialized view that was never refreshed and so can't be read."""
    may_enter_schema: bool
    hides_rows: bool
    """Row-level security applies to the role, whatever the policies are: nothing may be read."""
    hides_from_owner: bool
    """FORCE ROW LEVEL SECURITY, where it is enabled."""
    may_select: bool
    may_count: bool
    """SELECT on one column is enough to count rows."""
    may_update: bool
    may_delete: bool
    may_truncate: bool
    is_owner: bool
    """The role has the owner's rights: ALTER, DROP, VACUUM."""
    analyzed_rows: int | None
    """Rows at the last VACUUM or ANALYZE (reltuples); None when there was none."""
    analyzed_pages: int
    """Pages of the heap at that time."""
    dead_rows: int | None
    """As the cumulative statistics estimate them; None on a standby, which has none."""

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    @property
    def has_storage(self) -> bool:
        """Foreign tables live elsewhere, partitioned ones in their partitions."""
        return self.kind in (RelationKind.TABLE, RelationKind.MATERIALIZED_VIEW)


@dataclass(frozen=True)
class TableSize:
    """Disk space of one table; heap + TOAST + index = total = pg_total_relation_size."""

    oid: int
    heap_bytes: int
    """Main fork, free space map and visibility map: pg_table_size without TOAST."""
    toast_bytes: int
    """TOAST table and its index."""
    index_bytes: int
    """All indexes: pg_indexes_size."""
    vector_index_bytes: int
    """The part of `index_bytes` in HNSW and IVFFlat indexes."""
    total_bytes: int
    pages: int
    """Blocks of the main fork."""


@dataclass(frozen=True)
class ForeignKey:
    name: str
    table_oid: int
    """The referencing table."""
    referenced_oid: int
    columns: list[str]
    referenced_columns: list[str]
    on_delete: str
    """CASCADE, SET NULL, NO ACTION, RESTRICT or SET DEFAULT."""
    is_never_null: bool
    """Every one of the columns is NOT NULL."""
    is_indexed: bool


@dataclass(frozen=True)
class Database:
    """The connected database and its server."""

    name: str
    role: str
    """The role whose privileges apply."""
    server_version: str
    is_standby: bool
    read_at: datetime
    """By the server's clock."""
    size_bytes: int | None
    """None without CONNECT on the database or pg_read_all_stats."""


def read_database(conn: Connection) -> Database:
    with conn.cursor(row_factory=class_row(Database)) as cursor:
        database = cursor.execute(queries.load("postgres/database")).fetchone()
    assert database is not None
    return database


def read_tables(conn: Connection) -> list[Table]:
    """Every table of the database that is not PostgreSQL's own, whatever its schema."""
    with conn.cursor(row_factory=class_row(Table)) as cursor:
        return cursor.execute(queries.compose("postgres/tables")).fetchall()


def without_schema(conn: Connection, text: str) -> str:
    """A description of objects without the name of Aperture's schema, as everybody knows them."""
    names = "|".join(map(re.escape, (conn.schema, quote_identifier(conn.schema))))
    return re.sub(rf"(?<![\w.\"])(?:{names})\.", "", text)


def visible_tables(tables: Iterable[Table]) -> dict[str, Table]:
    """Those found by their bare name, by that name."""
    return {table.name: table for table in tables if table.is_visible}


def readable_tables(tables: Iterable[Table]) -> dict[str, Table]:
    """Those found by their bare name that the role may read, by that name."""
    return {name: table for name, table in visible_tables(tables).items() if table.may_select}


@dataclass(frozen=True)
class ReadRefusal:
    """The reason why a role can't read the rows of some tables, and what lets it."""

    reason: str
    statements: tuple[str, ...]
    """For an administrator."""
    hides_rows: bool
    """By row-level security, not only for want of a privilege."""
    owner: str | None
    """The role that sees all the rows."""

    @property
    def next_step(self) -> str:
        return as_administrator(self.statements) + (
            f" or connect as {self.owner}, the owner" if self.owner else ""
        )

    def error(self, what: str) -> ApertureDbError:
        """The error of a command that needs the tables."""
        code = "row_security" if self.hides_rows else "no_privilege"
        return ApertureDbError(what, why=self.reason, next_step=self.next_step, code=code)


def explain_unreadable(tables: Iterable[Table], role: str) -> ReadRefusal | None:
    """Why the role can't read the rows of these tables; None where it can."""
    unreadable = [table for table in tables if not table.may_select]
    hidden = [table for table in unreadable if table.hides_rows]
    denied = [table for table in unreadable if not table.hides_rows]
    reasons: list[str] = []
    statements: list[str] = []
    if hidden:
        names = list_some((table.name for table in hidden), MOST_NAMED_TABLES)
        reasons.append(f"row-level security hides rows of {names} from role {role}")
        statements += _steps_to_see(hidden, role)
    if denied:
        names = list_some((table.name for table in denied), MOST_NAMED_TABLES)
        reasons.append(f"role {role} may not read {names}")
        statements += grants_to_read(denied, role)
    if not reasons:
        return None
    owners = {None if table.hides_from_owner else table.owner for table in unreadable}
    owner = owners.pop() if hidden and len(owners) == 1 else None
    return ReadRefusal("; ".join(reasons), tuple(statements), bool(hidden), owner)


def require_all_rows(conn: Connection, tables: Iterable[Table], what: str) -> None:
    """Raise ApertureDbError(`what`) where row-level security hides rows of these tables."""
    if hidden := [table for table in tables if table.hides_rows]:
        refusal = explain_unreadable(hidden, read_database(conn).role)
        assert refusal is not None
        raise refusal.error(what)


def _steps_to_see(hidden: list[Table], role: str) -> Iterator[str]:
    """An owner can stop forcing the policies upon itself; any other role has to bypass them."""
    if len(hidden) > MOST_NAMED_TABLES or not all(table.is_owner for table in hidden):
        yield f"ALTER ROLE {quote_identifier(role)} BYPASSRLS;"
        return
    for table in hidden:
        name = f"{quote_identifier(table.schema)}.{quote_identifier(table.name)}"
        yield f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY;"


def grants_to_read(tables: Iterable[Table], role: str) -> tuple[str, ...]:
    """What the tables' owner runs to let a role read them; for many of them, all of the schema."""
    user = quote_identifier(role)
    named: dict[str, list[Table]] = {}
    for table in tables:
        named.setdefault(table.schema, []).append(table)
    grants = []
    for name, group in sorted(named.items()):
        schema = quote_identifier(name)
        if not all(table.may_enter_schema for table in group):
            grants.append(f"GRANT USAGE ON SCHEMA {schema} TO {user};")
        what = ", ".join(f"{schema}.{quote_identifier(table.name)}" for table in group)
        if len(group) > MOST_NAMED_TABLES:
            what = f"ALL TABLES IN SCHEMA {schema}"
        grants.append(f"GRANT SELECT ON {what} TO {user};")
    return tuple(grants)


def read_sizes(conn: Connection, tables: Iterable[Table]) -> dict[int, TableSize]:
    """Sizes by oid. Waits behind ACCESS EXCLUSIVE locks: set lock_timeout first."""
    oids = [table.oid for table in tables if table.has_storage]
    with conn.cursor(row_factory=class_row(TableSize)) as cursor:
        rows = cursor.execute(queries.load("postgres/sizes"), {"oids": oids})
        return {size.oid: size for size in rows}


def read_foreign_keys(conn: Connection) -> list[ForeignKey]:
    with conn.cursor(row_factory=class_row(ForeignKey)) as cursor:
        # Given no parameters, the driver would leave the %% of the file alone.
        return cursor.execute(queries.load("postgres/foreign_keys"), {}).fetchall()


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

    def statement(self, query: str) -> sql.Composed:
        """`grant` or `revoke` it."""
        column: sql.Composable = sql.SQL("")
        if self.column_name is not None:
            column = sql.SQL(" ({})").format(sql.Identifier(self.column_name))
        return sql.SQL(queries.load(f"postgres/{query}")).format(
            # The words and the identity are the server's own.
            privilege=sql.SQL(self.privilege),
            column=column,
            kind=sql.SQL(self.kind),
            object=sql.SQL(self.identity),
            grantee=sql.Identifier(self.grantee) if self.grantee else sql.SQL("PUBLIC"),
            option=sql.SQL("WITH GRANT OPTION" if self.is_grantable else ""),
        )


@dataclass(frozen=True)
class Privileges:
    """Everything that others than the owners may do with some objects, kept while these are made
    anew: neither a dump nor a migration carries that."""

    held: tuple[Privilege, ...]
    places: frozenset[tuple[str, str | None]]
    """All of these objects and their columns, also those that nobody else may use."""


def read_privileges(
    conn: Connection, relation_oids: Collection[int], routine_oids: Collection[int]
) -> Privileges:
    """Of tables, views and sequences, the sequences that the tables own, and routines."""
    parameters = {"relations": list(relation_oids), "routines": list(routine_oids)}
    with conn.cursor(row_factory=class_row(Privilege)) as cursor:
        found = cursor.execute(queries.load("postgres/held"), parameters).fetchall()
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


SET_PATH = "SELECT pg_catalog.set_config('search_path', %s, true)"
# Attachments with a definition; everything else is a setting of a table, or is about an object.
OBJECT_KINDS = {"column", "constraint", "index", "statistics", "rule", "trigger", "policy"}


@dataclass(frozen=True)
class Attachment:
    """One thing that hangs on a table, and is dropped with it. Neither a dump nor a migration has
    what users and other applications added."""

    kind: str
    """index, trigger, publication, replica identity, …"""
    schema: str
    table_name: str
    name: str
    """Empty for a setting of the whole table."""
    columns: list[str] = field(compare=False)
    """Columns of the table that it needs, as far as the catalogs tell."""
    statement: str
    """Makes it again."""
    comment: str | None
    """The text of a comment."""
    foreign_owner: str | None
    """The owner of a publication that this role may not change."""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Names it among all attachments of all tables."""
        return self.kind, self.schema, self.table_name, self.name

    def __str__(self) -> str:
        table = self.table_name if self.schema == "public" else f"{self.schema}.{self.table_name}"
        if self.kind in ("comment", "security label"):
            what, _, rest = self.name.partition(" ")
            return f"{self.kind} on {what.lower()} {rest}".rstrip()
        return f"{self.kind} {self.name} of {table}" if self.name else f"{self.kind} of {table}"


def read_attachments(conn: Connection, table_oids: Collection[int]) -> tuple[Attachment, ...]:
    """Everything that hangs on these tables, in an order in which it can be made again.

    Call it in a transaction. Names are written with their schemas, whatever the search_path is.
    """
    row = conn.execute("SELECT current_setting('search_path')").fetchone()
    assert row is not None
    conn.execute(SET_PATH, ["pg_catalog, pg_temp"])
    with conn.cursor(row_factory=class_row(Attachment)) as cursor:
        found = cursor.execute(
            queries.load("postgres/attachments"), {"tables": list(table_oids)}
        ).fetchall()
    conn.execute(SET_PATH, [row[0]])
    return tuple(found)


def missing(wanted: Iterable[Attachment], now: Iterable[Attachment]) -> tuple[Attachment, ...]:
    """Those of `wanted` that are not there now, in no form."""
    present = {each.key for each in now}
    return tuple(each for each in wanted if each.key not in present)


def attach(conn: Connection, attachments: Iterable[Attachment]) -> Iterator[tuple[Attachment, str]]:
    """Make them again in the open transaction; yields those that the server refuses, with its
    reason. Needs ownership of the tables, and of the publications."""
    for each in attachments:
        try:
            with conn.transaction():
                conn.execute(as_bytes(each.statement))
        except psycopg.errors.Error as error:
            if error.sqlstate is None or error.sqlstate[:2] in ("40", "53", "57"):
                raise
            yield each, str(error.diag.message_primary)
