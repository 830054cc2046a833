"""Ids of titles in columns without a foreign key: they stay in place, and are replaced there.

The registry of Aperture's tables knows these columns: arrays, single ids, and ids anywhere inside
a text or JSON value, where only whole uuids of kept titles are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field
from uuid import UUID

from psycopg import errors as pg
from psycopg import sql

from aperture_db import sql as queries
from aperture_db.aperture.kinds import MEDIA_TABLES, LooseReference, Maker, Media
from aperture_db.aperture.tables import TABLES
from aperture_db.postgres.catalog import Table, read_foreign_keys
from aperture_db.postgres.connection import set_local
from aperture_db.postgres.session import Connection
from aperture_db.relink.kept import Library, read_column_types
from aperture_db.relink.report import TitleIdentity

UUID_TEXT = re.compile(
    r"(?<![0-9a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE
)
PAGE_ROWS = 500
LOCK_TIMEOUT = "10s"
FIRST_ID = UUID(int=0)
TITLE_TARGETS = {f"{MEDIA_TABLES[kind]}.id" for kind in (Media.MOVIE, Media.SERIES)}
NewIds = Mapping[str, str]


@dataclass(frozen=True)
class Reference:
    """A column that names titles, in one database."""

    table: Table
    column: str
    type: str
    replace: Callable[[str, NewIds], str]
    """The value with new ids, as text."""
    owner: sql.Composable
    """The user whose row it is, as an expression; NULL where it is nobody's."""
    join: sql.Composable
    """The table that knows the owner."""
    is_made_by_users: bool


@dataclass(frozen=True)
class ReferenceChange:
    """A value with ids of kept titles."""

    row_id: UUID
    owner: UUID | None
    old_value: str
    new_value: str
    """The same where every title is pending."""
    pending: frozenset[UUID]
    """Kept titles in it that are not matched."""


@dataclass
class ReplacedIds:
    """The ids to replace, and those that must wait."""

    new_ids: Mapping[UUID, TitleIdentity]
    """The new title by the old id, for old ids that are no title's any more."""
    pending: Set[UUID]
    texts: NewIds = field(init=False)

    def __post_init__(self) -> None:
        self.texts = {str(old): str(new.id) for old, new in self.new_ids.items()}


def find_references(conn: Connection, library: Library, *, with_computed: bool) -> list[Reference]:
    """The columns of this database; those of computed rows only on request."""
    found = []
    wanted = {name: entry for name, entry in TABLES.items() if name in library.tables}
    types = read_column_types(conn, [library.tables[name] for name in wanted])
    for name, entry in wanted.items():
        table = library.tables[name]
        is_made_by_users = Maker.USERS in entry.makers
        for reference in entry.references:
            if (
                TITLE_TARGETS & set(reference.targets)
                and (table.oid, reference.column) in types
                and (is_made_by_users or with_computed)
            ):
                owner, join = _owner(conn, library, table)
                replace = _replacement(reference)
                column, type_name = reference.column, types[table.oid, reference.column]
                found.append(
                    Reference(table, column, type_name, replace, owner, join, is_made_by_users)
                )
    return found


def find_changes(
    conn: Connection, reference: Reference, ids: ReplacedIds
) -> Iterator[list[ReferenceChange]]:
    """The rows with ids of kept titles, a page at a time. Needs SELECT on the table."""
    after = FIRST_ID
    query = sql.SQL(queries.load("relink/referring_rows")).format(
        owner=reference.owner,
        column=sql.Identifier(reference.column),
        table=reference.table.identifier,
        join=reference.join,
    )
    while True:
        parameters = {"after": after, "page": PAGE_ROWS}
        rows = conn.execute(query, parameters).fetchall()
        changes = [_change(reference, ids, *row) for row in rows]
        yield [each for each in changes if each.pending or each.new_value != each.old_value]
        if len(rows) < PAGE_ROWS:
            return
        after = rows[-1][0]


def apply_changes(
    conn: Connection,
    library: Library,
    reference: Reference,
    changes: Collection[ReferenceChange],
    ids: ReplacedIds,
) -> list[UUID]:
    """Write new values in one transaction; returns the ids of the rows that were updated.

    Rows that have changed since they were read are left for the next run, and so are ids whose
    new title has gone since. Needs UPDATE on the table, and on those of titles.
    """
    wanted = [change for change in changes if change.new_value != change.old_value]
    if not wanted:
        return []
    with conn.transaction():
        set_local(conn, lock_timeout=LOCK_TIMEOUT)
        texts = _lock_titles(conn, library, wanted, ids)
        new_values = [reference.replace(change.old_value, texts) for change in wanted]
        rows = [
            (change.row_id, change.old_value, new)
            for change, new in zip(wanted, new_values, strict=True)
            if new != change.old_value
        ]
        return _write(conn, reference, rows)


def _lock_titles(
    conn: Connection, library: Library, changes: Collection[ReferenceChange], ids: ReplacedIds
) -> NewIds:
    """The ids to replace in these rows, restricted to titles that are still there and cannot be
    deleted before the transaction ends."""
    named = {
        old
        for change in changes
        for text in UUID_TEXT.findall(change.old_value)
        if (old := UUID(text)) in ids.new_ids
    }
    there: set[UUID] = set()
    for kind in (Media.MOVIE, Media.SERIES):
        wanted = [ids.new_ids[old].id for old in named if ids.new_ids[old].kind is kind]
        if wanted:
            table = library.tables[MEDIA_TABLES[kind]].identifier
            query = sql.SQL(queries.load("relink/lock_titles")).format(table=table)
            there |= {row[0] for row in conn.execute(query, {"ids": wanted})}
    return {str(old): str(ids.new_ids[old].id) for old in named if ids.new_ids[old].id in there}


def _write(conn: Connection, reference: Reference, rows: list[tuple[UUID, str, str]]) -> list[UUID]:
    """All at once; one by one where a new value collides with a row that is there already."""
    try:
        with conn.transaction():
            return _update(conn, reference, rows)
    except pg.UniqueViolation:
        done: list[UUID] = []
        for row in rows:
            try:
                with conn.transaction():
                    done += _update(conn, reference, [row])
            except pg.UniqueViolation:
                continue
        return done


def _update(
    conn: Connection, reference: Reference, rows: list[tuple[UUID, str, str]]
) -> list[UUID]:
    statement = sql.SQL(queries.load("relink/replace_references")).format(
        table=reference.table.identifier,
        column=sql.Identifier(reference.column),
        # format_type wrote it.
        type=sql.SQL(reference.type),
    )
    ids, old, new = (list(values) for values in zip(*rows, strict=True)) if rows else ([], [], [])
    done = conn.execute(statement, {"ids": ids, "old": old, "new": new}).fetchall()
    return [row_id for (row_id,) in done]


def _change(
    reference: Reference, ids: ReplacedIds, row_id: UUID, owner: UUID | None, value: str
) -> ReferenceChange:
    named = {UUID(text) for text in UUID_TEXT.findall(value)}
    new_value = reference.replace(value, ids.texts) if named & ids.new_ids.keys() else value
    return ReferenceChange(row_id, owner, value, new_value, frozenset(named & ids.pending))


def _replacement(reference: LooseReference) -> Callable[[str, NewIds], str]:
    return _replace_in_array if reference.is_array else _replace_in_text


def _replace_in_array(value: str, new_ids: NewIds) -> str:
    """The same places and order, without what would stand there twice."""
    ids = [text for text in value.strip("{}").split(",") if text]
    return "{" + ",".join(dict.fromkeys(new_ids.get(text, text) for text in ids)) + "}"


def _replace_in_text(value: str, new_ids: NewIds) -> str:
    return UUID_TEXT.sub(lambda found: new_ids.get(found[0].lower(), found[0]), value)


def _owner(
    conn: Connection, library: Library, table: Table
) -> tuple[sql.Composable, sql.Composable]:
    """The expression for a row's user, and the join that it needs: a column of the table, or of
    the table that it belongs to."""
    for name in ("owner_id", "user_id"):
        if name in table.columns:
            return sql.Identifier("r", name), sql.SQL("")
    by_oid = {each.oid: each for each in library.tables.values()}
    for key in read_foreign_keys(conn):
        parent = by_oid.get(key.referenced_oid)
        if key.table_oid == table.oid and parent is not None and "user_id" in parent.columns:
            join = sql.SQL("JOIN {} AS parent ON parent.{} = r.{}").format(
                parent.identifier,
                sql.Identifier(key.referenced_columns[0]),
                sql.Identifier(key.columns[0]),
            )
            return sql.Identifier("parent", "user_id"), join
    return sql.SQL("NULL::uuid"), sql.SQL("")
