"""Chooses the tables to vacuum, their order and what to say first, from what the server knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from psycopg import errors as pg
from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.errors import UsageError
from aperture_db.postgres import shm_size
from aperture_db.postgres.activity import Session, read_exclusive_locks
from aperture_db.postgres.catalog import Table, TableSize, read_sizes, read_tables
from aperture_db.postgres.connection import read_build_memory, set_local
from aperture_db.postgres.session import Connection
from aperture_db.vacuum.progress import weigh
from aperture_db.vacuum.report import (
    SIZE_LOCK_TIMEOUT,
    PlannedTable,
    TableIndex,
    VacuumMode,
    VacuumPlan,
    VacuumStats,
    find_lock_holders,
    left_behind,
)

PAGE_BYTES = 8192
# REINDEX CONCURRENTLY appends it, and a number where the name is taken.
REBUILD_COPY = re.compile(r"_cc(?:new|old)\d*$")


@dataclass(frozen=True)
class Statistics:
    """The cumulative statistics of a table, and whether the role may VACUUM it."""

    oid: int
    toast_oid: int
    toast_pages: int
    live_rows: int
    dead_rows: int | None
    """None on a standby, which has no statistics."""
    needs_vacuum: bool
    """Rows were inserted or died since the last VACUUM, there was none, or rows are to freeze."""
    needs_analyze: bool
    """The same since the last ANALYZE."""
    may_vacuum: bool

    def needs(self, mode: VacuumMode) -> bool:
        """True if the mode's command has work on the table. Only FULL looks for free space."""
        match mode:
            case VacuumMode.FULL:
                return True
            case VacuumMode.ANALYZE:
                return self.needs_analyze
            case _:
                return self.needs_vacuum or self.needs_analyze


@dataclass(frozen=True)
class _Facts:
    """The statistics, indexes, sizes and locks of all tables, by oid."""

    statistics: dict[int, Statistics]
    indexes: dict[int, tuple[TableIndex, ...]]
    sizes: dict[int, TableSize]
    lock_holders: dict[int, tuple[Session, ...]]


def plan(
    conn: Connection,
    mode: VacuumMode,
    names: Sequence[str] = (),
    *,
    include_all: bool = False,
    jobs: int = 1,
) -> VacuumPlan:
    """Plan the work on the named tables, by default on all that the search_path finds and that
    have work; `include_all` adds the others.

    Quick tables come first; with several jobs, those with an HNSW index and then large ones, so
    that no long work begins last. Writes nothing and waits for no lock. Raises UsageError for a
    name that is not a table.
    """
    with conn.transaction():
        set_local(conn, lock_timeout=SIZE_LOCK_TIMEOUT)
        tables = _choose([t for t in read_tables(conn) if t.has_storage], names)
        facts = _read_facts(conn, tables, mode)
        existing = [table for table in tables if table.oid in facts.statistics]
        chosen = [
            table
            for table in existing
            if names or include_all or facts.statistics[table.oid].needs(mode)
        ]
        planned = [_plan_table(table, facts, mode, is_named=bool(names)) for table in chosen]
        planned.sort(key=lambda table: (sum(weigh(table, mode).values()), table.name))
        if jobs > 1:
            planned.sort(key=lambda table: any(index.is_hnsw for index in table.indexes))
            planned.reverse()
        cautions = (*_name_leftovers(existing, facts), *_cautions(conn, mode, planned))
    offers = tuple(
        table.name for table in planned if mode is VacuumMode.VACUUM and table.is_rebuild_faster
    )
    return VacuumPlan(mode, tuple(planned), offers, cautions, len(existing) - len(chosen))


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
                why="a later migration of Aperture creates it, or the name is misspelled",
                next_step=f"similar names: {', '.join(close)}"
                if close
                else "aperture-db stats --tables lists the tables",
                code="no_such_table",
            )
    return list({known[name].oid: known[name] for name in names}.values())


def _read_facts(conn: Connection, tables: Sequence[Table], mode: VacuumMode) -> _Facts:
    """Read all; the sizes of tables under an exclusive lock are left out."""
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
        lock_holders=find_lock_holders(conn, oids, is_full=mode is VacuumMode.FULL),
    )


def _plan_table(table: Table, facts: _Facts, mode: VacuumMode, *, is_named: bool) -> PlannedTable:
    statistics = facts.statistics[table.oid]
    indexes = facts.indexes.get(table.oid, ())
    size = facts.sizes.get(table.oid)
    is_worth_it = is_named or statistics.dead_rows != 0
    rebuilds = tuple(i for i in indexes if i.is_hnsw and i.is_valid) if is_worth_it else ()
    return PlannedTable(
        name=table.name if table.is_visible else f"{table.schema}.{table.name}",
        owner=table.owner,
        may_vacuum=statistics.may_vacuum,
        live_rows=statistics.live_rows or table.analyzed_rows or 0,
        before=VacuumStats(statistics.dead_rows, size.total_bytes if size else None),
        rebuilds=rebuilds if mode is VacuumMode.REINDEX_HNSW else (),
        held_by=facts.lock_holders.get(table.oid, ()),
        table=table,
        indexes=indexes,
        toast_oid=statistics.toast_oid,
        heap_pages=max(table.analyzed_pages, size.pages if size else 0),
        toast_pages=max(statistics.toast_pages, (size.toast_bytes if size else 0) // PAGE_BYTES),
    )


def _name_leftovers(tables: Sequence[Table], facts: _Facts) -> Iterator[str]:
    """Name the unfinished copies of rebuilds whose server process died. One that a session still
    works on holds a lock."""
    for table in tables:
        for index in facts.indexes.get(table.oid, ()):
            is_copy = not index.is_valid and REBUILD_COPY.search(index.name)
            if is_copy and not facts.lock_holders.get(table.oid):
                yield left_behind(index).text


def _cautions(conn: Connection, mode: VacuumMode, tables: Sequence[PlannedTable]) -> Iterator[str]:
    rebuilt = [index for table in tables for index in table.rebuilds]
    if mode is VacuumMode.REINDEX_HNSW and rebuilt:
        largest = max(rebuilt, key=lambda index: index.pages)
        (table,) = (each for each in tables if largest in each.rebuilds)
        memory = read_build_memory(conn, table.table.oid, table.live_rows)
        # A default is no choice: the rebuild gets what it needs by itself.
        if not memory.is_default and memory.own_bytes < memory.need_bytes:
            megabytes = -(-memory.need_bytes // 2**20)
            yield (
                f"maintenance_work_mem is {memory.own_bytes // 2**20} MB, but building "
                f"{largest.name} is much faster with {megabytes} MB: ALTER SYSTEM SET "
                f"maintenance_work_mem = '{megabytes}MB'; SELECT pg_reload_conf(); in Docker with "
                f"shm_size: {shm_size(memory.need_bytes)}"
            )


def read_statistics(conn: Connection, oids: Iterable[int]) -> dict[int, Statistics]:
    """Read the statistics by oid; a table that was dropped is missing. Waits for no lock."""
    with conn.cursor(row_factory=class_row(Statistics)) as cursor:
        rows = cursor.execute(sql.load("vacuum/statistics"), {"oids": list(oids)})
        return {row.oid: row for row in rows}


def read_indexes(
    conn: Connection, oids: Iterable[int], measured: Iterable[int] = ()
) -> dict[int, tuple[TableIndex, ...]]:
    """Read indexes by their table's oid, in the order in which VACUUM works on them.

    Counts the pages for the tables in `measured`, which waits behind ACCESS EXCLUSIVE locks.
    """
    indexes: dict[int, tuple[TableIndex, ...]] = {}
    parameters = {"oids": list(oids), "measured": list(measured)}
    with conn.cursor(row_factory=class_row(TableIndex)) as cursor:
        for index in cursor.execute(sql.load("vacuum/indexes"), parameters):
            indexes[index.table_oid] = (*indexes.get(index.table_oid, ()), index)
    return indexes


def indexes_of(conn: Connection, table: PlannedTable) -> tuple[TableIndex, ...]:
    """Read the indexes of one table as they are now."""
    return read_indexes(conn, [table.table.oid]).get(table.table.oid, ())
