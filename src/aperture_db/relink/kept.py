"""Reads what is kept, and who and what is present; notes the decisions of a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, dict_row

from aperture_db import sql as queries
from aperture_db.aperture.kinds import MEDIA_TABLES, Media
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.postgres.catalog import own_tables
from aperture_db.postgres.session import Connection
from aperture_db.relink.identity import TitleIdentity
from aperture_db.relink.library import Library, read_library

User = TypeVar("User", bound="KeptUser")

KEPT_TABLES = ("kept_rows", "kept_titles", "kept_users")


@dataclass(frozen=True)
class KeptRow:
    """A row of a user that is not put back yet."""

    id: int
    source: str
    """The table of Aperture that it was in."""
    row_id: UUID
    user_id: UUID
    title_id: int | None
    """The kept title's own key."""
    origin: str
    """One of RowOrigin."""
    kept_at: datetime
    media_type: str | None


@dataclass(frozen=True)
class KeptUser:
    user_id: UUID
    provider: str | None
    provider_user_id: str | None
    username: str


@dataclass(frozen=True)
class PresentUser(KeptUser):
    is_enabled: bool
    is_unread: bool
    """No job fetches the user's history from the media server."""


@dataclass(frozen=True)
class Kept:
    """Everything that is kept and not put back yet."""

    titles: Mapping[int, TitleIdentity]
    """By the kept titles' own keys."""
    rows: tuple[KeptRow, ...]
    """The newest first."""
    users: Mapping[UUID, KeptUser]
    decisions: Mapping[UUID, UUID]
    """Of a person, by the old id."""


def has_kept_tables(conn: Connection) -> bool:
    """Whether anything was ever kept in this database."""
    return own_tables(conn) >= set(KEPT_TABLES)


def require_kept_tables(conn: Connection) -> None:
    """Raise ApertureDbError where nothing was ever kept."""
    if not has_kept_tables(conn):
        raise ApertureDbError(
            "nothing is kept in this database",
            why="no purge has kept user data here, and neither has relink --keep or --import",
            next_step="aperture-db relink --keep keeps it now",
            code="nothing_kept",
        )


def count_waiting(conn: Connection) -> int:
    """Rows of users that wait to be put back; those that were kept in place and still are do not
    wait. Needs SELECT on the kept tables and on those of titles; 0 where nothing was ever kept."""
    if not has_kept_tables(conn):
        return 0
    library = read_library(conn)
    titles = [library.tables[name] for name in MEDIA_TABLES.values() if name in library.tables]
    present = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT t.id FROM {} AS t").format(table.identifier) for table in titles
    )
    row = conn.execute(
        sql.SQL(queries.load("relink/count_waiting")).format(present=present)
    ).fetchone()
    assert row is not None
    return int(row[0])


def read_kept(conn: Connection) -> Kept:
    """Needs SELECT on the tables of what is kept."""
    titles, decisions = {}, {}
    with conn.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(queries.load("relink/kept_titles")):
            kept_id, chosen_id = row.pop("kept_id"), row.pop("chosen_id")
            titles[kept_id] = title = TitleIdentity(**(row | {"kind": Media(row["kind"])}))
            if chosen_id is not None:
                decisions[title.id] = chosen_id
    with conn.cursor(row_factory=class_row(KeptRow)) as rows:
        waiting = tuple(rows.execute(queries.load("relink/waiting_rows")))
    with conn.cursor(row_factory=class_row(KeptUser)) as users:
        known = {user.user_id: user for user in users.execute(queries.load("relink/kept_users"))}
    return Kept(titles, waiting, known, decisions)


def read_present_titles(
    conn: Connection, library: Library, kinds: Iterable[Media]
) -> list[TitleIdentity]:
    """The titles that are there, of these kinds. Needs SELECT on their tables."""
    found: list[TitleIdentity] = []
    for kind in kinds:
        if MEDIA_TABLES[kind] not in library.tables:
            continue
        with conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(library.titles(kind))
            found += [TitleIdentity(**row, kind=kind, server=library.server) for row in rows]
    return found


def read_present_users(conn: Connection, library: Library) -> list[PresentUser]:
    users = library.tables["users"]
    is_enabled = "u.is_enabled" if "is_enabled" in users.columns else "true"
    query = sql.SQL(queries.load("relink/present_users")).format(
        users=users.identifier, unread=library.unread_users, is_enabled=sql.SQL(is_enabled)
    )
    with conn.cursor(row_factory=class_row(PresentUser)) as cursor:
        return cursor.execute(query).fetchall()


def map_users(kept: Kept, present: Iterable[PresentUser]) -> dict[tuple[UUID, bool], PresentUser]:
    """The present user for each kept one, by the id and whether the row was imported.

    The id decides, then the account on the media server. Names decide only for rows that came
    from another database, and only where they are unique on both sides.
    """
    here = list(present)
    by_id = {user.user_id: user for user in here}
    by_account = {(user.provider, user.provider_user_id): user for user in here}
    by_name = _unique_names(here)
    kept_names = _unique_names(kept.users.values())
    found = {}
    for user_id in {row.user_id for row in kept.rows} | kept.users.keys():
        known = kept.users.get(user_id)
        same = by_id.get(user_id)
        if same is None and known is not None and known.provider_user_id is not None:
            same = by_account.get((known.provider, known.provider_user_id))
        if same is not None:
            found[user_id, False] = found[user_id, True] = same
        elif known is not None:
            name = known.username.casefold()
            if name in by_name and name in kept_names:
                found[user_id, True] = by_name[name]
    return found


def _unique_names(users: Iterable[User]) -> dict[str, User]:
    by_name: dict[str, list[User]] = {}
    for user in users:
        by_name.setdefault(user.username.casefold(), []).append(user)
    return {name: named[0] for name, named in by_name.items() if len(named) == 1}


@dataclass(frozen=True)
class Decision:
    """A match that a person chose."""

    old_id: UUID
    old_title: str
    new_id: UUID
    new_title: str


@dataclass(frozen=True)
class Decisions:
    """The matches of one command."""

    decisions: tuple[Decision, ...]


@dataclass(frozen=True)
class ForgetPlan:
    """What `relink --forget` drops."""

    database: str
    titles: int
    waiting_rows: int
    done_rows: int


def choose_match(conn: Connection, old_id: UUID, new_id: UUID) -> Decision:
    """Note that a kept title is this present one, within the open transaction.

    Needs UPDATE on aperture_db.kept_titles. Raises UsageError where one of them is not there, or
    where they are of different kinds.
    """
    require_kept_tables(conn)
    old = next((t for t in read_kept(conn).titles.values() if t.id == old_id), None)
    if old is None:
        raise _unusable(f"{old_id} is not the id of a kept title")
    present = read_present_titles(conn, read_library(conn), [old.kind])
    new: TitleIdentity | None = next((title for title in present if title.id == new_id), None)
    if new is None:
        raise _unusable(f"{new_id} is not the id of a title that is there, of kind {old.kind}")
    conn.execute(queries.load("relink/choose"), {"old": old_id, "new": new_id})
    return Decision(old_id, str(old), new_id, str(new))


def plan_to_forget(conn: Connection) -> ForgetPlan:
    """The counts of what is kept. Raises ApertureDbError where nothing is."""
    require_kept_tables(conn)
    row = conn.execute(queries.load("relink/count_kept")).fetchone()
    assert row is not None
    return ForgetPlan(*row)


def _unusable(what: str) -> UsageError:
    return UsageError(
        f"--match can't be used: {what}",
        why="OLD is the id of a kept title, NEW the id of a title that is there now",
        next_step="aperture-db relink --show pending lists both",
    )
