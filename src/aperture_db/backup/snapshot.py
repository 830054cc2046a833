"""The snapshot that pg_dump reads, and the row counts in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import psycopg
from psycopg import sql as identifiers
from psycopg.rows import args_row

from aperture_db import sql
from aperture_db.errors import ApertureDbError, BusyError
from aperture_db.postgres.activity import BlockerWatch, Session
from aperture_db.postgres.connection import (
    Connection,
    allow_long_transaction,
    set_local,
    timeout_parameter,
)
from aperture_db.postgres.driver_errors import grant_for
from aperture_db.postgres.target import Target


@dataclass(frozen=True)
class Snapshot:
    """An exported snapshot; commits of other sessions do not change what it shows."""

    id: str
    row_counts: dict[tuple[str, str], int]
    """Exact, by schema and name."""


class _Relation(NamedTuple):
    schema: str
    name: str
    is_sequence: bool
    may_select: bool


@contextmanager
def open_snapshot(
    conn: Connection, target: Target, lock_timeout_seconds: float
) -> Iterator[Snapshot]:
    """Hold a read-only transaction for the block and export its snapshot for pg_dump.

    Its locks are released after the counting: a session that queues for one of the tables would
    otherwise block pg_dump behind us. Raises ApertureDbError for a table without SELECT,
    BusyError for a locked one.
    """
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        allow_long_transaction(conn)
        set_local(conn, lock_timeout=timeout_parameter(lock_timeout_seconds))
        row = conn.execute("SELECT pg_export_snapshot(), pg_backend_pid()").fetchone()
        assert row is not None
        with (
            conn.transaction(force_rollback=True),
            BlockerWatch(target, lock_timeout_seconds) as watch,
        ):
            watch.start(row[1])
            # COPY reads the tables. An index that lacks entries must not make its rows look wrong.
            set_local(conn, enable_indexonlyscan="off")
            counts = _count_rows(conn, target, watch)
        yield Snapshot(row[0], counts)


def _count_rows(
    conn: Connection, target: Target, watch: BlockerWatch
) -> dict[tuple[str, str], int]:
    with conn.cursor(row_factory=args_row(_Relation)) as cursor:
        relations = cursor.execute(sql.load("backup/dumped_relations")).fetchall()
    if unreadable := [relation for relation in relations if not relation.may_select]:
        raise _unreadable(unreadable, target)
    tables = [relation for relation in relations if not relation.is_sequence]
    if not tables:
        return {}
    # Without ONLY the rows of inheritance children would be counted twice.
    counts = identifiers.SQL(" UNION ALL ").join(
        identifiers.SQL("SELECT {}::text, {}::text, count(*) FROM ONLY {}").format(
            table.schema, table.name, identifiers.Identifier(table.schema, table.name)
        )
        for table in tables
    )
    try:
        rows = conn.execute(counts).fetchall()
    except psycopg.errors.LockNotAvailable as error:
        raise locked(error, watch.stop()) from error
    return {(schema, name): count for schema, name, count in rows}


def _unreadable(relations: list[_Relation], target: Target) -> ApertureDbError:
    """pg_dump 18 writes a wrong value for a sequence without SELECT, and reports success."""
    messages = {
        relation.is_sequence: f"permission denied for "
        f"{'sequence' if relation.is_sequence else 'table'} {relation.name}"
        for relation in reversed(relations)
    }
    return ApertureDbError(
        "permission denied for a part of the database, so a backup would be incomplete",
        why=messages.get(False) or messages[True],
        next_step="\n".join(grant_for(message, target.user) for message in messages.values()),
        code="no_privilege",
    )


def locked(error: psycopg.Error, holders: tuple[Session, ...]) -> BusyError:
    """The error for a table that another session has locked."""
    held = f"held by {holders[0]}" if holders else "its holder could not be seen"
    end_it = f"SELECT pg_terminate_backend({holders[0].pid});" if holders else "stop Aperture"
    return BusyError(
        "timed out waiting for a lock, so no backup was made",
        why=f"{error.diag.message_primary}; {held}",
        next_step=f"wait until that session ends, or terminate it: {end_it}",
        details=tuple(f"held by {holder}" for holder in holders[1:]),
    )
