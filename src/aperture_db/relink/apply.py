"""Puts back what is kept, in small transactions that can each be the last.

A kept row and its mark are written together, so a run that ends anywhere loses and doubles
nothing, and the next one goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.aperture.kinds import MEDIA_TABLES, Media
from aperture_db.aperture.schema import read_active_model, read_embedding_tables
from aperture_db.postgres.catalog import readable_tables
from aperture_db.postgres.connection import set_local
from aperture_db.postgres.session import Connection
from aperture_db.progress import Phase, Progress
from aperture_db.relink.kept import (
    PROFILES,
    RATINGS,
    WATCHING,
    RowSource,
    read_column_types,
)
from aperture_db.relink.plan import Assignment, Links
from aperture_db.relink.references import apply_changes, find_changes, find_references
from aperture_db.relink.report import Match, RelinkOptions, RelinkOutcome, RowState

BATCH_ROWS = 500
PUT_BACK = "put back"
ENDED = "no longer a favorite"
LOCK_TIMEOUT = "10s"


@dataclass(frozen=True)
class RelinkDone:
    """The end."""

    outcome: RelinkOutcome


@dataclass
class _Tally:
    """What is committed so far."""

    put_back: dict[str, int] = field(default_factory=dict)
    already_there: dict[str, int] = field(default_factory=dict)
    updated: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    aged_profiles: int = 0


def apply(
    conn: Connection, links: Links, options: RelinkOptions
) -> Generator[Phase | Progress | RelinkDone, None, None]:
    """Put back everything that is ready; the last event is RelinkDone.

    Takes row locks only: titles and users that rows are put back for cannot be deleted during a
    batch. Needs INSERT and UPDATE on the tables concerned.
    """
    started = time.monotonic()
    tally = _Tally()
    yield Phase("putting rows back")
    yield from _put_rows_back(conn, links, tally)
    yield Phase("replacing ids of titles")
    updated: dict[str, set[UUID]] = {}
    for reference in find_references(conn, links.library, with_computed=options.similarity):
        name = reference.table.name
        for page in find_changes(conn, reference, links.ids):
            if done := apply_changes(conn, links.library, reference, page, links.ids):
                updated.setdefault(name, set()).update(done)
                tally.updated[name] = len(updated[name])
                yield Progress(f"{name}: {tally.updated[name]:,} rows")
    _note_links(conn, links)
    seconds = time.monotonic() - started
    yield RelinkDone(RelinkOutcome(**vars(tally), duration_seconds=seconds))


def _put_rows_back(conn: Connection, links: Links, tally: _Tally) -> Iterator[Progress]:
    ready = [each for each in links.assignments if each.state is RowState.READY]
    moved = _move_misplaced(conn, links, ready, tally)
    ready = [each for each in ready if each.row.id not in moved]
    columns = _kept_columns(conn, ready)
    groups: dict[tuple[str, Media, frozenset[str]], list[Assignment]] = {}
    for each in ready:
        if each.title is not None:
            key = (each.row.source, each.title.kind, columns[each.row.id])
            groups.setdefault(key, []).append(each)
        else:
            _restore_profile(conn, links, each, tally)
    _finish_ended(conn, links, tally)
    total = sum(map(len, groups.values()))
    done = 0
    for (name, kind, kept), group in groups.items():
        statement = _put_back_statement(conn, links, name, kind, kept)
        for batch in _batches(group):
            _put_batch_back(conn, links, statement, batch, tally)
            done += len(batch)
            yield Progress(name, done, total)


def _move_misplaced(
    conn: Connection, links: Links, ready: Sequence[Assignment], tally: _Tally
) -> set[int]:
    """Move rows that are there unchanged, under titles that a sync has turned into other ones;
    returns the kept rows' keys. Each kind of row is one transaction."""
    groups: dict[tuple[str, Media], dict[int, Assignment]] = {}
    for each in ready:
        if each.title is not None and each.user is not None and each.may_insert:
            groups.setdefault((each.row.source, each.title.kind), {})[each.row.id] = each
    done: set[int] = set()
    for (name, kind), group in groups.items():
        source = links.library.source(name)
        assert source is not None
        moves = _find_moves(conn, source, source.title_columns[kind], group)
        if not moves:
            continue
        statement = _move_statement(conn, source, source.title_columns[kind])
        parameters = {
            "rows": [move.kept_id for move in moves],
            "ids": [move.row_id for move in moves],
            "titles": [move.target[1] for move in moves],
        }
        aged = 0
        with conn.transaction():
            set_local(conn, lock_timeout=LOCK_TIMEOUT)
            moved = {kept_id for (kept_id,) in conn.execute(statement, parameters)}
            users = {move.target[0] for move in moves if move.kept_id in moved}
            if name == RATINGS and users and links.library.has(PROFILES, "auto_updated_at"):
                aged = _age_profiles(conn, links, users, kind)
        tally.aged_profiles += aged
        tally.put_back[name] = tally.put_back.get(name, 0) + len(moved)
        done |= moved
    return done


@dataclass(frozen=True)
class _Move:
    """A row that is to name another title."""

    kept_id: int
    row_id: UUID
    target: tuple[UUID, UUID]
    """The user and the title."""


def _find_moves(
    conn: Connection, source: RowSource, title_column: str, group: Mapping[int, Assignment]
) -> list[_Move]:
    """The rows that can move: nothing is in their place but what moves away itself."""
    parts = {
        "table": source.table.identifier,
        "title": sql.Identifier(title_column),
        "changed_at": source.changed_at,
    }
    query = sql.SQL(queries.load("relink/misplaced_rows")).format(**parts)
    present = {row[0]: row[1:] for row in conn.execute(query, {"rows": list(group)})}
    moves: dict[UUID, _Move] = {}
    taken: set[tuple[UUID, UUID]] = set()
    for kept_id, each in group.items():
        if kept_id not in present or each.user is None or each.title is None:
            continue
        row_id, user_id, title_id = present[kept_id]
        target = (each.user.user_id, each.title.id)
        # Where two old titles have become one, the newest row is the first, and has the place.
        if user_id == target[0] and title_id != target[1] and target not in taken:
            moves[row_id] = _Move(kept_id, row_id, target)
            taken.add(target)
    if not moves:
        return []
    users, titles = (
        list(set(ids)) for ids in zip(*(m.target for m in moves.values()), strict=True)
    )
    query = sql.SQL(queries.load("relink/rows_of_titles")).format(**parts)
    places: dict[tuple[UUID, UUID], set[UUID]] = {}
    for row_id, user_id, title_id in conn.execute(query, {"users": users, "titles": titles}):
        places.setdefault((user_id, title_id), set()).add(row_id)
    while blocked := [
        row_id for row_id, m in moves.items() if not places.get(m.target, set()) <= moves.keys()
    ]:
        for row_id in blocked:
            del moves[row_id]
    return list(moves.values())


def _move_statement(conn: Connection, source: RowSource, title: str) -> sql.Composed:
    insertable = _insertable(conn, source)
    columns = [name for name in source.table.columns if name in insertable]
    values = [sql.Identifier("r", "new_title_id" if name == title else name) for name in columns]
    return sql.SQL(queries.load("relink/move_rows")).format(
        table=source.table.identifier,
        changed_at=source.changed_at,
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(values),
    )


def _insertable(conn: Connection, source: RowSource) -> set[str]:
    """The columns into which a value can be written."""
    rows = conn.execute(queries.load("relink/insertable_columns"), {"table": source.table.oid})
    return {row[0] for row in rows}


def _kept_columns(conn: Connection, ready: Sequence[Assignment]) -> dict[int, frozenset[str]]:
    """The columns of each row: those that a migration has added since get their defaults."""
    rows = conn.execute(queries.load("relink/kept_columns"), {"rows": [e.row.id for e in ready]})
    return {row_id: frozenset(names) for row_id, names in rows}


def _batches(group: Sequence[Assignment]) -> Iterator[Sequence[Assignment]]:
    return (group[start : start + BATCH_ROWS] for start in range(0, len(group), BATCH_ROWS))


def _put_back_statement(
    conn: Connection, links: Links, name: str, kind: Media, kept: frozenset[str]
) -> sql.Composed:
    source = links.library.source(name)
    assert source is not None
    title = source.title_columns[kind]
    table = source.table.identifier
    names = (kept | {"id", "user_id", title}) & _insertable(conn, source)
    columns = [column for column in source.table.columns if column in names]
    renewed = "renew_added_at" if name == WATCHING else "renew_nothing"
    return sql.SQL(queries.load("relink/put_back")).format(
        titles=links.library.tables[MEDIA_TABLES[kind]].identifier,
        users=links.library.tables["users"].identifier,
        table=table,
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(sql.Identifier("r", column) for column in columns),
        title_column=sql.Literal(title),
        title_name=sql.Identifier(title),
        title=sql.SQL("{} AS title_id").format(sql.Identifier(title)),
        renewed=sql.SQL(queries.load(f"relink/{renewed}")).format(table=table),
    )


def _put_batch_back(
    conn: Connection,
    links: Links,
    statement: sql.Composed,
    batch: Sequence[Assignment],
    tally: _Tally,
) -> None:
    """One transaction: the rows, their marks, and the taste profiles that must follow."""
    source = batch[0].row.source
    with conn.transaction():
        set_local(conn, lock_timeout=LOCK_TIMEOUT)
        done = conn.execute(
            statement,
            {
                "rows": [each.row.id for each in batch],
                "titles": [each.title.id for each in batch if each.title],
                "users": [each.user.user_id for each in batch if each.user],
                "may_insert": [each.may_insert for each in batch],
            },
        ).fetchall()
        users = {user_id for user_id, outcome in done if outcome == PUT_BACK}
        aged = 0
        if source == RATINGS and users and links.library.has(PROFILES, "auto_updated_at"):
            assert batch[0].title is not None
            aged = _age_profiles(conn, links, users, batch[0].title.kind)
    put_back = sum(outcome == PUT_BACK for _, outcome in done)
    tally.put_back[source] = tally.put_back.get(source, 0) + put_back
    if there := len(done) - put_back:
        tally.already_there[source] = tally.already_there.get(source, 0) + there
    tally.aged_profiles += aged


def _age_profiles(conn: Connection, links: Links, users: set[UUID], kind: Media) -> int:
    query = sql.SQL(queries.load("relink/age_profiles")).format(
        profiles=links.library.tables[PROFILES].identifier
    )
    parameters = {"users": list(users), "media_type": str(kind)}
    return conn.execute(query, parameters).rowcount


def _restore_profile(conn: Connection, links: Links, assignment: Assignment, tally: _Tally) -> None:
    """Give a locked profile back what `purge --include-locked` has reset."""
    table = links.library.tables[PROFILES]
    tables = read_embedding_tables(conn)
    active = read_active_model(conn, tables, readable_tables(links.library.tables.values()))
    type_name = read_column_types(conn, [table])[table.oid, "embedding"]
    query = sql.SQL(queries.load("relink/restore_profile")).format(
        profiles=table.identifier, type=sql.SQL(type_name)
    )
    model = active.id if active else None
    with conn.transaction():
        done = conn.execute(query, {"row": assignment.row.id, "model": model}).fetchone()
    if done is None:
        return
    counts = tally.put_back if done[0] == PUT_BACK else tally.already_there
    counts[PROFILES] = counts.get(PROFILES, 0) + 1


def _finish_ended(conn: Connection, links: Links, tally: _Tally) -> None:
    """Mark rows as done that their users have given up on the media server."""
    rows = [each.row.id for each in links.assignments if each.state is RowState.ENDED]
    if rows:
        parameters = {"rows": rows, "outcome": ENDED}
        tally.ended[WATCHING] = conn.execute(queries.load("relink/finish_row"), parameters).rowcount


def _note_links(conn: Connection, links: Links) -> None:
    found = {
        kept_id: result.new.id
        for kept_id, old in links.kept.titles.items()
        if isinstance(result := links.results[old], Match)
    }
    parameters = {"kept": list(found), "new": list(found.values())}
    conn.execute(queries.load("relink/note_links"), parameters)
