"""Puts back what is kept, in small transactions that can each be the last.

A kept row and its mark are written together, so a run that ends anywhere loses and doubles
nothing, and the next one goes on from there.

After a change of the media server, the old accounts are made those of the new server: Aperture adds
the users of the new server as new accounts without data, beside the old ones.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.aperture.kinds import MEDIA_TABLES, Media
from aperture_db.aperture.schema import read_active_model, read_embedding_tables
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.postgres.catalog import Table, read_foreign_keys, readable_tables
from aperture_db.postgres.connection import set_local
from aperture_db.postgres.session import Connection
from aperture_db.progress import Phase, Progress
from aperture_db.relink.kept import (
    PROFILES,
    RATINGS,
    WATCHING,
    Library,
    read_column_types,
    read_library,
    require_aperture,
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
    groups: dict[tuple[str, Media], list[Assignment]] = {}
    for each in links.assignments:
        if each.state is RowState.READY and each.title is not None:
            groups.setdefault((each.row.source, each.title.kind), []).append(each)
        elif each.state is RowState.READY:
            _restore_profile(conn, links, each, tally)
    _finish_ended(conn, links)
    total = sum(map(len, groups.values()))
    done = 0
    for (name, kind), group in groups.items():
        statement = _put_back_statement(conn, links, name, kind, group)
        for batch in _batches(group):
            _put_batch_back(conn, links, statement, batch, tally)
            done += len(batch)
            yield Progress(name, done, total)


def _batches(group: Sequence[Assignment]) -> Iterator[Sequence[Assignment]]:
    return (group[start : start + BATCH_ROWS] for start in range(0, len(group), BATCH_ROWS))


def _put_back_statement(
    conn: Connection, links: Links, name: str, kind: Media, group: Sequence[Assignment]
) -> sql.Composed:
    source = links.library.source(name)
    assert source is not None
    title = source.title_columns[kind]
    columns = _common_columns(conn, source.table, group, title)
    renewed = "renew_added_at" if name == WATCHING else "renew_nothing"
    table = source.table.identifier
    return sql.SQL(queries.load("relink/put_back")).format(
        titles=links.library.tables[MEDIA_TABLES[kind]].identifier,
        users=links.library.tables["users"].identifier,
        table=table,
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(sql.Identifier("r", column) for column in columns),
        title_column=sql.Literal(title),
        title=sql.SQL("{} AS title_id").format(sql.Identifier(title)),
        renewed=sql.SQL(queries.load(f"relink/{renewed}")).format(table=table),
    )


def _common_columns(
    conn: Connection, table: Table, group: Sequence[Assignment], title_column: str
) -> list[str]:
    """The columns that the table has now and that every row of the group was kept with, so that a
    column that a migration has added since gets its default."""
    rows = [each.row.id for each in group]
    kept = conn.execute(queries.load("relink/kept_columns"), {"rows": rows}).fetchall()
    names = {name for (name,) in kept} | {"user_id", title_column}
    return [column for column in table.columns if column in names]


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
        done = conn.execute(query, {"row": assignment.row.id, "model": model}).rowcount
    counts = tally.put_back if done else tally.already_there
    counts[PROFILES] = counts.get(PROFILES, 0) + 1


def _finish_ended(conn: Connection, links: Links) -> None:
    """Mark rows as done that their users have given up on the media server."""
    rows = [each.row.id for each in links.assignments if each.state is RowState.ENDED]
    if rows:
        parameters = {"rows": rows, "outcome": ENDED}
        conn.execute(queries.load("relink/finish_row"), parameters)


def _note_links(conn: Connection, links: Links) -> None:
    found = {
        kept_id: result.new.id
        for kept_id, old in links.kept.titles.items()
        if isinstance(result := links.results[old], Match)
    }
    parameters = {"kept": list(found), "new": list(found.values())}
    conn.execute(queries.load("relink/note_links"), parameters)


RESET_COLUMNS = (
    "watch_history_synced_at",
    "series_watch_history_synced_at",
    "provider_access_token",
)


@dataclass(frozen=True)
class Account:
    """A user of Aperture, with the size of the data that refers to it."""

    user_id: UUID
    provider: str
    provider_user_id: str
    username: str
    email: str | None
    trakt_username: str | None
    is_enabled: bool
    rows: int
    """In all tables that refer to users."""


@dataclass(frozen=True)
class AdoptedPair:
    """An old account and the one that replaces it on the new media server."""

    old: Account
    new: Account
    refusal: str
    """The reason why the pair can't be adopted; empty when it can."""


@dataclass(frozen=True)
class UsersPlan:
    """The accounts of the former media server, and what becomes of them."""

    provider: str
    """Of the media server in use."""
    pairs: tuple[AdoptedPair, ...]
    unpaired_old: tuple[Account, ...]
    unpaired_new: tuple[Account, ...]
    is_done: bool = False

    @property
    def ready(self) -> tuple[AdoptedPair, ...]:
        return tuple(pair for pair in self.pairs if not pair.refusal)


def plan_users(conn: Connection, decided: Sequence[tuple[str, str]] = ()) -> UsersPlan:
    """Pair accounts by name, ignoring case, where it is unique on both sides, and as a person
    decided. Needs SELECT on users and on all tables that refer to it.

    Raises UsageError for a decision about accounts that are not there.
    """
    library = require_aperture(conn)
    if library.provider is None:
        raise ApertureDbError(
            "the media server in use is unknown",
            why="Aperture's setting media_server_type is empty or can't be read",
            next_step="finish Aperture's setup, then run the command again",
        )
    accounts = _read_accounts(conn, library)
    old = [each for each in accounts if each.provider != library.provider]
    new = [each for each in accounts if each.provider == library.provider]
    chosen = [(_find(old, words[0]), _find(new, words[1])) for words in decided]
    taken = {account.user_id for pair in chosen for account in pair}
    by_name = _by_unique_name(each for each in new if each.user_id not in taken)
    old_by_name = _by_unique_name(each for each in old if each.user_id not in taken)
    named = [(each, by_name[name]) for name, each in old_by_name.items() if name in by_name]
    pairs = [AdoptedPair(*each, _refusal(each[1])) for each in (*chosen, *named)]
    paired = {account.user_id for pair in pairs for account in (pair.old, pair.new)}
    return UsersPlan(
        library.provider,
        tuple(sorted(pairs, key=lambda pair: pair.old.username)),
        tuple(each for each in old if each.user_id not in paired),
        tuple(each for each in new if each.user_id not in paired),
    )


def adopt_users(
    conn: Connection, shown: UsersPlan, decided: Sequence[tuple[str, str]] = ()
) -> UsersPlan:
    """Adopt the pairs that `shown` calls ready, within the open transaction.

    Locks the accounts. Needs UPDATE and DELETE on users. Raises ApertureDbError when a pair is not
    ready any more.
    """
    library = read_library(conn)
    users = library.tables["users"].identifier
    wanted = {(pair.old.user_id, pair.new.user_id) for pair in shown.ready}
    ids = [user_id for pair in wanted for user_id in pair]
    conn.execute(_formatted("lock_users", users=users), {"ids": ids})
    now = plan_users(conn, decided)
    ready = {(pair.old.user_id, pair.new.user_id): pair for pair in now.ready}
    if not wanted <= ready.keys():
        raise ApertureDbError(
            "the accounts have changed, nothing was changed",
            why="a pair that was shown can't be adopted any more",
            next_step="aperture-db relink --users",
        )
    resets = [name for name in RESET_COLUMNS if name in library.tables["users"].columns]
    assignments = sql.SQL("").join(
        sql.SQL(", {} = NULL").format(sql.Identifier(name)) for name in resets
    )
    for key in wanted:
        pair = ready[key]
        conn.execute(_formatted("delete_user", users=users), {"id": pair.new.user_id})
        conn.execute(
            _formatted("adopt_user", users=users, resets=assignments),
            {
                "id": pair.old.user_id,
                "provider": pair.new.provider,
                "provider_user_id": pair.new.provider_user_id,
            },
        )
    return UsersPlan(shown.provider, shown.ready, now.unpaired_old, now.unpaired_new, is_done=True)


def _read_accounts(conn: Connection, library: Library) -> list[Account]:
    users = library.tables["users"]
    tables = {table.oid: table for table in library.tables.values()}
    counts = [
        sql.SQL("(SELECT count(*) FROM {} AS r WHERE r.{} = u.id)").format(
            tables[key.table_oid].identifier, sql.Identifier(key.columns[0])
        )
        for key in read_foreign_keys(conn)
        if key.referenced_oid == users.oid and key.table_oid in tables and len(key.columns) == 1
    ]
    optional = {"email": "text", "trakt_username": "text", "is_enabled": "boolean"}
    parts: dict[str, sql.Composable] = {
        name: sql.Identifier("u", name) if name in users.columns else sql.SQL(f"NULL::{type_name}")
        for name, type_name in optional.items()
    }
    query = _formatted(
        "users_by_server",
        users=users.identifier,
        rows=sql.SQL(" + ").join([sql.SQL("0"), *counts]),
        **parts,
    )
    with conn.cursor(row_factory=class_row(Account)) as cursor:
        return cursor.execute(query).fetchall()


def _refusal(new: Account) -> str:
    """The new account is deleted, so it must be as the sync of users made it."""
    if new.rows:
        return f"the new account has {new.rows:,} rows of its own; delete or keep them in Aperture"
    if new.is_enabled:
        return "the new account is enabled; disable it in Aperture if it is not in use"
    return ""


def _find(accounts: Iterable[Account], word: str) -> Account:
    """The account that a person names by its id or its username."""
    found = [each for each in accounts if word in (str(each.user_id), each.username)]
    if len(found) != 1:
        raise UsageError(
            f"--pair can't be used: {word} names {len(found) or 'no'} accounts",
            why="OLD is an account of the former media server, NEW one of the server in use",
            next_step="aperture-db relink --users lists both with their ids",
        )
    return found[0]


def _by_unique_name(accounts: Iterable[Account]) -> Mapping[str, Account]:
    named: dict[str, list[Account]] = {}
    for account in accounts:
        named.setdefault(account.username.casefold(), []).append(account)
    return dict(_unique(named))


def _unique(named: Mapping[str, list[Account]]) -> Iterator[tuple[str, Account]]:
    return ((name, accounts[0]) for name, accounts in named.items() if len(accounts) == 1)


def _formatted(name: str, **parts: sql.Composable) -> sql.Composed:
    return sql.SQL(queries.load(f"relink/{name}")).format(**parts)
