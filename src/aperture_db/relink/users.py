"""Makes the accounts of a former media server those of the one in use.

After a change of the media server, Aperture adds its users as new accounts without data, beside the
old ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.postgres.catalog import read_foreign_keys
from aperture_db.postgres.session import Connection
from aperture_db.relink.kept import Library, read_library, require_aperture

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
    decided: tuple[tuple[str, str], ...] = field(default=(), metadata={"json": False})
    """The pairs that a person named, as they did."""
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
    if len(taken) < 2 * len(chosen):
        counts = Counter(account.user_id for pair in chosen for account in pair)
        twice = next(each for pair in chosen for each in pair if counts[each.user_id] > 1)
        raise UsageError(
            f"--pair can't be used: {twice.username} stands in more than one pair",
            why="an old account becomes one new account, and a new one that of one old account",
            next_step="aperture-db relink --users",
        )
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
        tuple(decided),
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
    wanted = [(pair.old.user_id, pair.new.user_id) for pair in shown.ready]
    ids = [user_id for pair in wanted for user_id in pair]
    conn.execute(_formatted("lock_users", users=users), {"ids": ids})
    now = plan_users(conn, decided)
    ready = {(pair.old.user_id, pair.new.user_id): pair for pair in now.ready}
    if not ready.keys() >= set(wanted):
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
            next_step="aperture-db relink --users",
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
