"""Fills an empty Aperture database with a sample library."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime

from pgvector.psycopg import register_vector
from psycopg import sql

from aperture_db import sql as queries
from aperture_db.errors import UsageError
from aperture_db.postgres.connection import Connection
from aperture_db.postgres.parameters import set_local
from aperture_db.sample.settings import write_settings
from aperture_db.sample.size import DEMO_SIZE, SampleSize
from aperture_db.sample.subjects import all_tables
from aperture_db.sample.tables import TableRows
from aperture_db.sample.world import make_world

SEED = 20_260
# A build that outgrows it takes several times as long.
INDEX_BUILD_MEMORY = "1GB"


@dataclass(frozen=True)
class TableFilled:
    table: str
    rows: int


@dataclass(frozen=True)
class VectorIndexBuilt:
    name: str


def fill(
    conn: Connection,
    size: SampleSize = DEMO_SIZE,
    *,
    now: datetime | None = None,
    seed: int = SEED,
    indexes_last: bool = False,
) -> Generator[TableFilled | VectorIndexBuilt, None, None]:
    """Fill all tables in one transaction; an iterator left early leaves nothing behind.

    The same size, `now` and seed give the same rows. `indexes_last` drops the vector indexes of
    the filled embedding tables and builds them again at the end, several times faster for large
    sizes; it needs ownership of the tables. Raises UsageError unless the database has the newest
    schema and neither films, series nor users.
    """
    _require_empty(conn)
    register_vector(conn)
    world = make_world(size, now or datetime.now(UTC), seed)
    with conn.transaction():
        indexes = _drop_vector_indexes(conn, size.dimension) if indexes_last else {}
        for table in all_tables(world):
            yield TableFilled(table.table, _copy(conn, table))
        write_settings(conn, world)
        for name, definition in indexes.items():
            conn.execute(definition)
            yield VectorIndexBuilt(name)


def _require_empty(conn: Connection) -> None:
    row = conn.execute(queries.load("sample/newest_schema")).fetchone()
    if row is None or not row[0]:
        raise UsageError(
            "the sample library can't be filled in",
            why="the database lacks a table or column of the newest schema",
            next_step="aperture-db migrate",
            code="schema_not_current",
        )
    row = conn.execute(queries.load("sample/is_in_use")).fetchone()
    if row is None or row[0]:
        raise UsageError(
            "the sample library can't be filled in",
            why="the database holds a library or users already",
            next_step="use an empty database, for example that of: aperture-db demo reset",
            code="not_empty",
        )


def _copy(conn: Connection, table: TableRows) -> int:
    """COPY the rows in binary, each value by the type of its column; returns how many."""
    rows = iter(table.rows)
    first = next(rows, None)
    if first is None:
        return 0
    columns = list(first)
    types: dict[str, int] = dict(
        conn.execute(queries.load("sample/column_types"), {"table": table.table}).fetchall()
    )
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(table.table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    count = 1
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types([types[column] for column in columns])
        copy.write_row(tuple(first.values()))
        for count, row in enumerate(rows, start=2):  # noqa: B007
            copy.write_row(tuple(row.values()))
    return count


def _drop_vector_indexes(conn: Connection, dimension: int) -> dict[str, str]:
    """Drop the HNSW indexes on the tables of this dimension; their definitions by name."""
    rows = conn.execute(
        queries.load("sample/vector_indexes"), {"suffix": f"embeddings_{dimension}"}
    ).fetchall()
    set_local(conn, maintenance_work_mem=INDEX_BUILD_MEMORY)
    for name, _definition in rows:
        conn.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return dict(rows)
