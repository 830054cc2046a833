"""Decides on which tables to work, in which order, and what to say before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from psycopg import errors as pg

from aperture_db.errors import UsageError
from aperture_db.postgres.activity import Session, read_exclusive_locks
from aperture_db.postgres.catalog import Table, TableSize, read_sizes, read_tables
from aperture_db.postgres.connection import Connection, set_local
from aperture_db.vacuum.figures import (
    SIZE_LOCK_TIMEOUT,
    Statistics,
    find_lock_holders,
    read_indexes,
    read_statistics,
)
from aperture_db.vacuum.report import (
    Figures,
    Index,
    Mode,
    PlannedTable,
    VacuumPlan,
)
from aperture_db.vacuum.stages import weigh

PAGE_BYTES = 8192
# What building an HNSW index wants, so that its graph fits into memory (tried on pgvector 0.8.5).
BUILD_MEMORY_FACTOR = 1.15


@dataclass(frozen=True)
class _Facts:
    """What was read about all tables, by oid."""

    statistics: dict[int, Statistics]
    indexes: dict[int, tuple[Index, ...]]
    sizes: dict[int, TableSize]
    lock_holders: dict[int, tuple[Session, ...]]


def plan(conn: Connection, mode: Mode, names: Sequence[str] = ()) -> VacuumPlan:
    """Plan for the named tables, by default all that the search_path finds.

    Writes nothing and waits for no lock. Raises UsageError for a name that is no table here.
    """
    with conn.transaction():
        set_local(conn, lock_timeout=SIZE_LOCK_TIMEOUT)
        tables = _choose([t for t in read_tables(conn) if t.has_storage], names)
        facts = _read_facts(conn, tables, mode)
        planned = [
            _plan_table(table, facts, mode, is_named=bool(names))
            for table in tables
            if table.oid in facts.statistics
        ]
        planned.sort(key=lambda table: (sum(weigh(table, mode).values()), table.name))
        cautions = tuple(_cautions(conn, mode, planned))
    offers = tuple(
        table.name for table in planned if mode is Mode.VACUUM and table.is_rebuild_faster
    )
    return VacuumPlan(mode, tuple(planned), offers, cautions)


def _choose(tables: Sequence[Table], names: Sequence[str]) -> list[Table]:
    if not names:
        return [table for table in tables if table.is_visible]
    known = {f"{table.schema}.{table.name}": table for table in tables}
    known |= {table.name: table for table in tables if table.is_visible}
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=3)
            raise UsageError(
                f"there is no table {name} in this database",
                why="Aperture makes it in a later migration, or the name is misspelt",
                next_step=f"similar names: {', '.join(close)}"
                if close
                else "aperture-db stats --tables lists the tables",
                code="no_such_table",
            )
    return list({known[name].oid: known[name] for name in names}.values())


def _read_facts(conn: Connection, tables: Sequence[Table], mode: Mode) -> _Facts:
    """Sizes are left out where somebody's lock would make us wait."""
    oids = [table.oid for table in tables]
    locked = {lock.table_oid for lock in read_exclusive_locks(conn)}
    free = [table for table in tables if table.oid not in locked]
    try:
        with conn.transaction():
            sizes = read_sizes(conn, free)
            indexes = read_indexes(conn, oids, measured=[table.oid for table in free])
    except pg.LockNotAvailable:
        sizes, indexes = {}, read_indexes(conn, oids)
    return _Facts(
        statistics=read_statistics(conn, oids),
        indexes=indexes,
        sizes=sizes,
        lock_holders=find_lock_holders(conn, oids, is_full=mode is Mode.FULL),
    )


def _plan_table(table: Table, facts: _Facts, mode: Mode, *, is_named: bool) -> PlannedTable:
    statistics = facts.statistics[table.oid]
    indexes = facts.indexes.get(table.oid, ())
    size = facts.sizes.get(table.oid)
    worth_it = is_named or statistics.dead_rows != 0
    rebuilds = tuple(i for i in indexes if i.is_hnsw and i.is_valid) if worth_it else ()
    return PlannedTable(
        name=table.name if table.is_visible else f"{table.schema}.{table.name}",
        owner=table.owner,
        may_vacuum=statistics.may_vacuum,
        live_rows=statistics.live_rows or table.analyzed_rows or 0,
        before=Figures(statistics.dead_rows, size.total_bytes if size else None),
        rebuilds=rebuilds if mode is Mode.REINDEX_HNSW else (),
        held_by=facts.lock_holders.get(table.oid, ()),
        table=table,
        indexes=indexes,
        toast_oid=statistics.toast_oid,
        heap_pages=max(table.analyzed_pages, size.pages if size else 0),
        toast_pages=max(statistics.toast_pages, (size.toast_bytes if size else 0) // PAGE_BYTES),
    )


def _cautions(conn: Connection, mode: Mode, tables: Sequence[PlannedTable]) -> Iterator[str]:
    rebuilt = [index for table in tables for index in table.rebuilds]
    if mode is Mode.REINDEX_HNSW and rebuilt:
        row = conn.execute(
            "SELECT setting::bigint * 1024 FROM pg_settings WHERE name = 'maintenance_work_mem'"
        ).fetchone()
        largest = max(rebuilt, key=lambda index: index.pages)
        wanted = round(largest.pages * PAGE_BYTES * BUILD_MEMORY_FACTOR)
        if row and row[0] < wanted:
            megabytes = -(-wanted // 2**20)
            yield (
                f"maintenance_work_mem is {row[0] // 2**20} MB, and building {largest.name} is "
                f"much faster with {megabytes} MB: ALTER SYSTEM SET maintenance_work_mem = "
                f"'{megabytes}MB'; SELECT pg_reload_conf();"
            )
