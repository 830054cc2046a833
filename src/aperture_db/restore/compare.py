"""Compares what was restored with what the dump holds, before the transaction commits."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql as identifiers

from aperture_db.dumps.contents import MIGRATIONS_TABLE, DumpContents, DumpedTable
from aperture_db.errors import ApertureDbError
from aperture_db.postgres.connection import Connection


def require_equal(
    conn: Connection,
    contents: DumpContents,
    tables: tuple[DumpedTable, ...],
    run_counts: Mapping[tuple[str, str], int],
) -> None:
    """Raise ApertureDbError unless every one of `tables` has the dump's rows, and the recorded
    migrations are the dump's. `run_counts` are the rows that the server took from it."""
    for table, found in _count(conn, tables).items():
        expected = table.row_count
        if expected is None:
            expected = run_counts.get((table.schema, table.name), 0)
        if found != expected:
            raise _different(f"{table} has {found:,} rows, the dump has {expected:,}")
    for table in tables:
        if table.name == MIGRATIONS_TABLE:
            _compare_migrations(conn, table, contents.migrations)


def _count(conn: Connection, tables: tuple[DumpedTable, ...]) -> dict[DumpedTable, int]:
    if not tables:
        return {}
    counts = identifiers.SQL(" UNION ALL ").join(
        identifiers.SQL("SELECT {}::int, count(*) FROM ONLY {}").format(
            number, identifiers.Identifier(table.schema, table.name)
        )
        for number, table in enumerate(tables)
    )
    return {tables[number]: count for number, count in conn.execute(counts)}


def _compare_migrations(conn: Connection, table: DumpedTable, expected: tuple[str, ...]) -> None:
    query = identifiers.SQL('SELECT name FROM {} ORDER BY name COLLATE "C"').format(
        identifiers.Identifier(table.schema, table.name)
    )
    found = tuple(row[0] for row in conn.execute(query))
    if set(expected) - set(found):
        missing = ", ".join(sorted(set(expected) - set(found)))
        raise _different(f"migrations are missing from the record: {missing}")


def _different(why: str) -> ApertureDbError:
    return ApertureDbError(
        "what was restored is not what the dump holds",
        why=f"{why}; everything was rolled back, the database is as it was",
        next_step="run it again; if it stays so, report the output of -vv",
        code="restore_differs",
    )
