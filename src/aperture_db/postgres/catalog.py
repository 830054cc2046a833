"""What is in a PostgreSQL database: tables, columns, foreign keys, sizes, rows, privileges, locks.

Knows nothing of Aperture. Nothing here but `count_rows` and `read_sizes` waits for a lock on a
table, and nothing but `count_rows` needs a privilege on one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from psycopg import sql
from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.format import quote_identifier
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
    """Found by its bare name through the search_path, as Aperture finds its tables; also when the
    only obstacle is a missing USAGE on the schema public."""
    is_populated: bool
    """False for a materialized view that was never refreshed and so can't be read."""
    may_enter_schema: bool
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
    is_validated: bool
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
        return cursor.execute(queries.load("postgres/tables")).fetchall()


def visible_tables(tables: Iterable[Table]) -> dict[str, Table]:
    """Those found by their bare name, by that name."""
    return {table.name: table for table in tables if table.is_visible}


def readable_tables(tables: Iterable[Table]) -> dict[str, Table]:
    """Those found by their bare name that the role may read, by that name."""
    return {name: table for name, table in visible_tables(tables).items() if table.may_select}


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


def count_rows(conn: Connection, tables: Iterable[Table]) -> dict[int, int]:
    """Exact rows by oid, in one statement and so from one snapshot.

    Needs `may_count` on each table. Waits behind ACCESS EXCLUSIVE locks: set lock_timeout first.
    """
    counts = [
        sql.SQL("SELECT {}::bigint, count(*) FROM {}").format(table.oid, table.identifier)
        for table in tables
    ]
    if not counts:
        return {}
    return dict(conn.execute(sql.SQL(" UNION ALL ").join(counts)).fetchall())
