"""What a backup reads of the database: Aperture's settings for backups, and a snapshot.

Also the records of the last backups. The snapshot is for pg_dump; rows are counted in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql as identifiers
from psycopg.rows import args_row, class_row
from psycopg.sql import Identifier

from aperture_db import sql
from aperture_db.aperture.schema import create_schema, own_tables
from aperture_db.errors import ApertureDbError, BusyError
from aperture_db.format import as_administrator, plural, quote_identifier
from aperture_db.postgres.activity import BlockerWatch, Session
from aperture_db.postgres.catalog import (
    MOST_NAMED_TABLES,
    read_database,
    read_tables,
    require_all_rows,
)
from aperture_db.postgres.connection import allow_long_transaction, set_local, timeout_parameter
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target

LOCK_TIMEOUT = "10s"
# The server's stack limits what one statement can hold.
COUNTS_IN_ONE_STATEMENT = 500
DAMAGE = (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted)
# With these, a count in the order of an index reads the index.
INDEX_SCANS = {
    "enable_seqscan": "off", "enable_bitmapscan": "off", "enable_sort": "off",
    "enable_incremental_sort": "off", "enable_indexscan": "on", "enable_indexonlyscan": "on",
    "max_parallel_workers_per_gather": "0", "statement_timeout": "30s",
}  # fmt: skip


@dataclass(frozen=True)
class BackupSettings:
    """The single row of backup_config."""

    backup_path: str
    """As seen from inside Aperture's container."""
    retention_count: int


def read_settings(conn: Connection) -> BackupSettings | None:
    """None without the table, its row, or SELECT on it."""
    readable = conn.execute(sql.compose("backup/may_read_settings")).fetchone()
    if readable != (True,):
        return None
    with conn.cursor(row_factory=class_row(BackupSettings)) as cursor:
        return cursor.execute(sql.compose("backup/settings")).fetchone()


def record_backup(conn: Connection, path: Path, size_bytes: int, made_at: datetime) -> bool:
    """Record a backup: in Aperture's row where it is in the directory that Aperture's page lists,
    else in aperture_db.backups. Tell whether Aperture's row names it.

    Needs UPDATE on backup_config, or what `record_in_own_schema` needs. A database without
    Aperture's settings gets no record.
    """
    settings = read_settings(conn)
    if settings is None:
        return False
    values: dict[str, object] = {"made_at": made_at, "size_bytes": size_bytes}
    if path.parent.resolve() == Path(settings.backup_path).resolve():
        values["name"] = path.name
        return conn.execute(sql.compose("backup/record"), values).rowcount == 1
    values |= {"directory": str(path.parent), "file_name": path.name}
    record_in_own_schema(conn, "backups", sql.load("backup/insert_backup"), values)
    return False


def record_in_own_schema(
    conn: Connection, table: str, insert: str, values: Mapping[str, object]
) -> None:
    """Insert a row into a table of backup/create_records, and keep its newest 100 rows.

    Needs CREATE on the database for the first one, later INSERT, SELECT and DELETE on the table.
    A path that is no UTF-8 is recorded as it is shown.
    """
    values = {
        name: value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
        for name, value in values.items()
    }
    with conn.transaction():
        set_local(conn, lock_timeout=LOCK_TIMEOUT)
        create_schema(conn)
        if table not in own_tables(conn):
            conn.execute(sql.load("backup/create_records"))
        conn.execute(insert, values)
        conn.execute(sql.compose("backup/delete_old_records", table=Identifier(table)))


@dataclass(frozen=True)
class Snapshot:
    """An exported snapshot; commits of other sessions do not change what it shows."""

    id: str
    row_counts: dict[tuple[str, str], int]
    """Exact, by schema and name; without tables that only pg_dump can read, because an index of
    theirs is damaged."""
    damaged_indexes: list[str]
    """What is wrong with each index that has another number of entries than its table has rows,
    and what to do."""


class _CountableIndex(NamedTuple):
    schema: str
    table_name: str
    index_name: str
    name: str
    """As SQL writes it."""
    keys: str
    """As ORDER BY takes them."""


class _Relation(NamedTuple):
    schema: str
    name: str
    is_sequence: bool
    may_select: bool
    hides_rows: bool


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
            conn.without_index_only_scans(),
            BlockerWatch(target, lock_timeout_seconds) as watch,
        ):
            watch.start(row[1])
            counts, findings = _count_rows(conn, watch)
            findings += _compare_indexes(conn, counts)
        yield Snapshot(row[0], counts, findings)


def _count_rows(
    conn: Connection, watch: BlockerWatch
) -> tuple[dict[tuple[str, str], int], list[str]]:
    """The rows of each table, and what is wrong with those that cannot be counted."""
    with conn.cursor(row_factory=args_row(_Relation)) as cursor:
        relations = cursor.execute(sql.load("backup/dumped_relations")).fetchall()
    if any(relation.hides_rows for relation in relations):
        incomplete = "a backup would lack rows that are hidden, so none was made"
        require_all_rows(conn, read_tables(conn), incomplete)
    if unreadable := [relation for relation in relations if not relation.may_select]:
        raise _unreadable(unreadable, read_database(conn).role)
    tables = [relation for relation in relations if not relation.is_sequence]
    # Without ONLY the rows of inheritance children would be counted twice.
    sources = [
        identifiers.SQL("ONLY {}").format(identifiers.Identifier(table.schema, table.name))
        for table in tables
    ]
    try:
        counts = _count(conn, sources)
    except psycopg.errors.LockNotAvailable as error:
        raise locked(error, watch.stop()) from error
    found = {table[:2]: count for table, count in zip(tables, counts, strict=True)}
    damaged = [
        f"no query can read {'.'.join(key)}: {reason}. Rebuild its indexes: "
        f"REINDEX TABLE {'.'.join(map(quote_identifier, key))};"
        for key, reason in found.items()
        if isinstance(reason, str)
    ]
    return {key: count for key, count in found.items() if isinstance(count, int)}, damaged


def _count(conn: Connection, sources: Sequence[identifiers.Composable]) -> list[int | str]:
    """Count the rows of each source; the server's reason where a damaged page forbids it."""
    counts: list[int | str] = []
    for start in range(0, len(sources), COUNTS_IN_ONE_STATEMENT):
        batch = sources[start : start + COUNTS_IN_ONE_STATEMENT]
        statement = identifiers.SQL(" UNION ALL ").join(
            identifiers.SQL("SELECT {}::int, count(*) FROM {}").format(number, source)
            for number, source in enumerate(batch)
        )
        try:
            # Rolled back, which gives the locks back: pg_dump needs one for each table.
            with conn.transaction(force_rollback=True):
                counts += (count for _, count in sorted(conn.execute(statement).fetchall()))
        except DAMAGE as error:
            if len(batch) > 1:
                counts += (_count(conn, [each])[0] for each in batch)
            else:
                counts.append(str(error.diag.message_primary))
    return counts


def _compare_indexes(conn: Connection, row_counts: Mapping[tuple[str, str], int]) -> list[str]:
    """Compare the tables' row counts with those by each index; health's index-integrity is the
    thorough way. It takes a limited time, and less is compared in a large database."""
    with conn.cursor(row_factory=args_row(_CountableIndex)) as cursor:
        found = cursor.execute(sql.load("backup/countable_indexes")).fetchall()
    indexes = [index for index in found if index[:2] in row_counts]
    entries = [
        identifiers.SQL("(SELECT FROM ONLY {} ORDER BY {}) AS entries").format(
            identifiers.Identifier(*index[:2]), identifiers.SQL(index.keys)
        )
        for index in indexes
    ]
    names = {(index.schema, index.index_name): index.name for index in indexes}
    damaged: dict[str, str] = {}
    with suppress(psycopg.errors.QueryCanceled), conn.transaction(force_rollback=True):
        set_local(conn, **INDEX_SCANS)
        for index, source, count in zip(indexes, entries, _count(conn, entries), strict=True):
            row_count = row_counts[index[:2]]
            if isinstance(count, str):
                damaged[index.name] = _damaged(index.name, count)
            elif count != row_count:
                name = names[index.schema, _used_index(conn, source)]
                counted = f"it has {plural(count, 'entry', 'entries')} for {row_count:,} rows"
                damaged[name] = _damaged(name, counted)
    return list(damaged.values())


def _damaged(index: str, why: str) -> str:
    return (
        f"the index {index} is damaged: {why}. The backup contains all rows. Rebuild the index: "
        f"REINDEX INDEX CONCURRENTLY {index};"
    )


def _used_index(conn: Connection, source: identifiers.Composable) -> str:
    """The name of the index that a count reads; the same columns may be in several."""
    explain = identifiers.SQL("EXPLAIN (FORMAT JSON) SELECT count(*) FROM {}").format(source)
    row = conn.execute(explain).fetchone()
    assert row is not None
    found = re.search(r'"Index Name": ("(?:[^"\\]|\\.)*")', json.dumps(row[0]))
    return str(json.loads(found[1])) if found else ""


def _unreadable(relations: list[_Relation], role: str) -> ApertureDbError:
    """The error for relations without SELECT. Of a sequence without it pg_dump 18 writes a wrong
    value, and reports success."""
    first = min(relations, key=lambda relation: relation.is_sequence)
    kind = "sequence" if first.is_sequence else "table"
    groups: dict[tuple[str, bool], list[str]] = {}
    for relation in relations:
        groups.setdefault((relation.schema, relation.is_sequence), []).append(relation.name)
    steps = []
    for (schema_name, is_sequence), names in sorted(groups.items()):
        schema, word = quote_identifier(schema_name), "SEQUENCE" if is_sequence else "TABLE"
        what = f"{word} " + ", ".join(f"{schema}.{quote_identifier(name)}" for name in names)
        if len(names) > MOST_NAMED_TABLES:
            what = f"ALL {word}S IN SCHEMA {schema}"
        steps.append(f"GRANT SELECT ON {what} TO {quote_identifier(role)};")
    return ApertureDbError(
        "permission denied for a part of the database, so a backup would be incomplete",
        why=f"permission denied for {kind} {first.name}",
        next_step=as_administrator(steps),
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
