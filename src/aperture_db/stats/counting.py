"""The tables that can be read, and how their rows are counted.

Everything that is counted exactly is counted together, the rest comes from estimates. A count
query is a SELECT of (source, detail, rows). Only queries whose tables and columns exist and
may be read are run, so a missing count is an unknown one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias, TypeVar

from psycopg import errors as pg
from psycopg import sql

from aperture_db import sql as queries
from aperture_db.aperture.kinds import MEDIA_TABLES, Media
from aperture_db.aperture.schema import ActiveModel, EmbeddingTable
from aperture_db.aperture.tables import MIGRATIONS_TABLE, is_aperture
from aperture_db.postgres.activity import ExclusiveLock, read_exclusive_locks
from aperture_db.postgres.catalog import (
    Database,
    RelationKind,
    Table,
    TableSize,
    read_tables,
    readable_tables,
    visible_tables,
)
from aperture_db.postgres.connection import set_local
from aperture_db.postgres.session import Connection
from aperture_db.stats.report import Count, DatabaseFacts, Unknown, unknown_count

Report = TypeVar("Report")

LOCK_TIMEOUT = "2s"
ATTEMPTS = 5


@dataclass(frozen=True)
class Inventory:
    """Every table, and the locks for which a first attempt timed out."""

    tables: tuple[Table, ...]
    locks: Mapping[int, list[ExclusiveLock]]
    """By the oid of the table that can't be read."""

    @cached_property
    def visible(self) -> dict[str, Table]:
        return visible_tables(self.tables)

    @cached_property
    def readable(self) -> dict[str, Table]:
        """By name, those that may be read in every column and are not locked."""
        found = readable_tables(self.tables).items()
        return {name: table for name, table in found if self.why_unreadable(table) is None}

    @property
    def unlocked(self) -> list[Table]:
        return [table for table in self.tables if table.oid not in self.locks]

    def why_unreadable(self, table: Table | None) -> Unknown | None:
        """The reason why the rows of the table can't be counted; None when they can."""
        if table is None:
            return Unknown.ABSENT
        if table.kind == RelationKind.FOREIGN:
            return Unknown.ELSEWHERE
        if table.hides_rows:
            return Unknown.HIDDEN
        if not table.may_count:
            return Unknown.NO_PRIVILEGE
        if not table.is_populated:
            return Unknown.ABSENT
        return Unknown.LOCKED if table.oid in self.locks else None

    def has_columns(self, name: str, *columns: str) -> bool:
        """Tell if the table exists, may be read, and has these columns in this version."""
        table = self.readable.get(name)
        return table is not None and set(columns) <= set(table.columns)


def read_past_locks(conn: Connection, read: Callable[[Inventory], Report]) -> Report:
    """Run `read` in a transaction of its own, without the tables that are locked.

    A lock is waited for until LOCK_TIMEOUT; then whatever is locked at that moment is left out and
    everything is read again. Raises LockNotAvailable when new locks keep appearing.
    """
    locks: Mapping[int, list[ExclusiveLock]] = {}
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with conn.transaction():
                set_local(conn, lock_timeout=LOCK_TIMEOUT)
                return read(Inventory(tuple(read_tables(conn)), locks))
        except (pg.LockNotAvailable, pg.UndefinedTable, pg.SerializationFailure):
            # Undefined: dropped since the list was read. Serialization: a standby replayed what
            # the reading still needed.
            if attempt == ATTEMPTS:
                raise
            locks = _current_locks(conn)
    raise AssertionError("unreachable")


def _current_locks(conn: Connection) -> Mapping[int, list[ExclusiveLock]]:
    locks: defaultdict[int, list[ExclusiveLock]] = defaultdict(list)
    for lock in read_exclusive_locks(conn):
        locks[lock.table_oid].append(lock)
    return locks


Counts: TypeAlias = Mapping[str, Mapping[str | None, int]]
"""Rows by source and detail."""

# 64 MB with PostgreSQL's usual block size; such a table is counted in some ten milliseconds.
QUICK_PAGES = 8192


def run_count_queries(conn: Connection, count_queries: Iterable[sql.Composed]) -> Counts:
    counts: dict[str, dict[str | None, int]] = {}
    for source, detail, rows in conn.fetch_counts(list(count_queries)):
        counts.setdefault(source, {})[detail] = rows
    return counts


@dataclass(frozen=True)
class CountPlan:
    """The tables to count, and what is known of the others without counting."""

    to_count: tuple[Table, ...]
    known: Mapping[int, Count]
    """By oid."""

    def table_counts(self, counts: Counts) -> dict[int, Count]:
        """By oid, once the tables have been counted, whole or by some detail."""
        counted = {
            table.oid: Count(sum(counts.get(row_source(table.oid), {}).values()))
            for table in self.to_count
        }
        return {**self.known, **counted}


def plan_counts(
    inventory: Inventory,
    tables: Iterable[Table],
    sizes: Mapping[int, TableSize],
    *,
    estimate: bool,
) -> CountPlan:
    """Count what can be counted; with `estimate`, only small tables without an estimate."""
    to_count: list[Table] = []
    known: dict[int, Count] = {}
    for table in tables:
        unreadable = inventory.why_unreadable(table)
        estimated = estimate_rows(table, sizes.get(table.oid)) if estimate else None
        if unreadable in (None, Unknown.HIDDEN, Unknown.NO_PRIVILEGE, Unknown.LOCKED) and (
            estimated is not None and estimated.rows is not None
        ):
            # The estimate is in the catalogs, which everybody may read.
            known[table.oid] = estimated
        elif unreadable is not None:
            known[table.oid] = unknown_count(unreadable)
        elif estimated is not None:
            known[table.oid] = estimated
        else:
            to_count.append(table)
    return CountPlan(tuple(to_count), known)


def estimate_rows(table: Table, size: TableSize | None) -> Count | None:
    """Rows by PostgreSQL's own estimate: the density at the last ANALYZE, times today's pages, as
    the planner does. None for a table that has no such estimate, but is counted quickly.
    """
    if size is None:
        return unknown_count(Unknown.NOT_ANALYZED)
    if size.pages == 0:
        return Count(0)
    if table.analyzed_rows and table.analyzed_pages:
        density = table.analyzed_rows / table.analyzed_pages
        return Count(round(density * size.pages), exact=False)
    if size.pages <= QUICK_PAGES:
        return None
    return unknown_count(Unknown.NOT_ANALYZED)


def sum_counts(counts: Iterable[Count]) -> Count:
    """The rows of several tables together. Absent ones count as none; another unknown one makes
    the sum unknown."""
    rows = 0
    exact = True
    present = False
    for count in counts:
        if count.unknown is Unknown.ABSENT:
            continue
        if count.rows is None:
            return count
        present = True
        rows += count.rows
        exact = exact and count.exact
    return Count(rows, exact) if present else unknown_count(Unknown.ABSENT)


def describe_database(database: Database, inventory: Inventory, counts: Counts) -> DatabaseFacts:
    """`counts` include the recorded migrations, where they could be read."""
    newest, applied = next(iter(counts.get("migrations", {}).items()), (None, None))
    return DatabaseFacts(
        name=database.name,
        role=database.role,
        server_version=database.server_version.split()[0],
        is_standby=database.is_standby,
        read_at=database.read_at,
        is_aperture=is_aperture(inventory.visible),
        migrations_applied=applied,
        newest_migration=newest,
    )


def row_queries(tables: Iterable[Table], by_model: Collection[int] = ()) -> Iterator[sql.Composed]:
    """The rows of whole tables, and per model of the tables with an oid in `by_model`; the source
    is `row_source` of the oid."""
    for table in tables:
        name = "embeddings_by_model" if table.oid in by_model else "count_rows"
        yield _query(name, source=row_source(table.oid), table=table.identifier)


def row_source(oid: int) -> str:
    return f"oid:{oid}"


def migration_queries(inventory: Inventory) -> Iterator[sql.Composed]:
    """The number of recorded migrations; the detail is the newest one."""
    if inventory.has_columns(MIGRATIONS_TABLE, "name"):
        yield _query("migrations")


def detail_queries(inventory: Inventory) -> Iterator[sql.Composed]:
    """The counts of the overview that are not the rows of whole tables."""
    if inventory.has_columns("users", "is_enabled"):
        yield _query("users_enabled")
    if inventory.has_columns("users", "provider") and inventory.has_columns("system_settings"):
        yield _query("users_of_media_server")
    if inventory.has_columns("recommendation_runs") and inventory.has_columns(
        "recommendation_candidates", "is_selected"
    ):
        keys = ["user_id"]
        if inventory.has_columns("recommendation_runs", "media_type"):
            keys.append("media_type")
        run_of = sql.SQL(", ").join(map(sql.Identifier, keys))
        yield _query("recommendations_shown", run_of=run_of)


def library_queries(inventory: Inventory) -> Iterator[sql.Composed]:
    """Films, series and episodes of the libraries that are synced."""
    for media, name in MEDIA_TABLES.items():
        items = _items_in_libraries(inventory, media)
        if items is not None:
            yield _query("count_items", source=f"{name}_in_libraries", items=items)


def embedding_queries(
    inventory: Inventory, tables: Iterable[EmbeddingTable], active: ActiveModel | None
) -> Iterator[sql.Composed]:
    """The items that need an embedding of the active model (`to_embed:` and the media), and those
    that have one (`embedded:`)."""
    if active is None:
        return
    for media in Media:
        kept = [table for table in tables if table.media is media and active.is_kept_in(table)]
        items = _items_to_embed(inventory, media)
        if items is None or any(table.name not in inventory.readable for table in kept):
            continue
        yield _query("count_items", source=f"to_embed:{media}", items=items)
        if kept:
            embedded = sql.SQL("\nUNION\n").join(
                _query(
                    "embedded_items",
                    item_column=sql.Identifier(table.item_column),
                    table=table.identifier,
                    models=sql.Literal(list(active.names_in(table))),
                )
                for table in kept
            )
            yield _query(
                "count_embedded_items", source=f"embedded:{media}", items=items, embedded=embedded
            )


def _items_in_libraries(inventory: Inventory, media: Media) -> sql.Composed | None:
    if not inventory.has_columns(MEDIA_TABLES[media]):
        return None
    if media is Media.EPISODE:
        series = _items_in_libraries(inventory, Media.SERIES)
        return series and _query("episodes_in_libraries", series=series)
    return _items_of_libraries(inventory, media, "in_libraries")


def _items_to_embed(inventory: Inventory, media: Media) -> sql.Composed | None:
    if not inventory.has_columns(MEDIA_TABLES[media]):
        return None
    if media is Media.EPISODE:
        return _all_items(inventory, media)
    return _items_of_libraries(inventory, media, "to_embed")


def _items_of_libraries(inventory: Inventory, media: Media, which: str) -> sql.Composed | None:
    """Everything in versions without libraries; None where libraries can't be read."""
    if "library_config" not in inventory.visible:
        return _all_items(inventory, media)
    name = MEDIA_TABLES[media]
    if not inventory.has_columns(name, "provider_library_id"):
        in_this_version = "provider_library_id" in inventory.visible[name].columns
        return None if in_this_version else _all_items(inventory, media)
    return _query(f"{name}_{which}") if "library_config" in inventory.readable else None


def _all_items(inventory: Inventory, media: Media) -> sql.Composed:
    return _query("all_items", table=inventory.visible[MEDIA_TABLES[media]].identifier)


def _query(name: str, **parts: str | sql.Composable) -> sql.Composed:
    """A query of sql/stats.sql; text becomes a literal."""
    return queries.compose(f"stats/{name}", **parts)
