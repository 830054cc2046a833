"""Reads Aperture's tables, what is kept of them and what is present; notes a person's decisions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, dict_row

from aperture_db import sql as queries
from aperture_db.aperture.kinds import MEDIA_TABLES, Maker, Media
from aperture_db.aperture.schema import OWN_SCHEMA, has_kept_tables
from aperture_db.aperture.tables import is_aperture, table_named
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.postgres.catalog import (
    Table,
    read_foreign_keys,
    read_tables,
    require_all_rows,
    visible_tables,
)
from aperture_db.postgres.session import Connection
from aperture_db.relink.report import TitleIdentity

User = TypeVar("User", bound="KeptUser")

WATCH_HISTORY, WATCHING, RATINGS = "watch_history", "user_watching_series", "user_ratings"
PROFILES = "user_taste_profiles"
EVERY = sql.SQL("true")
# The attributes of TitleIdentity, and the columns that hold them.
IDENTITY_COLUMNS = {
    "id": ("id", "uuid"),
    "title": ("title", "text"),
    "year": ("year", "integer"),
    "original_title": ("original_title", "text"),
    "imdb_id": ("imdb_id", "text"),
    "tmdb_id": ("tmdb_id", "text"),
    "tvdb_id": ("tvdb_id", "text"),
    "path": ("path", "text"),
    "item_id": ("provider_item_id", "text"),
    "series_id": ("series_id", "uuid"),
    "season": ("season_number", "integer"),
    "episode": ("episode_number", "integer"),
    "premiere_date": ("premiere_date", "date"),
}


@dataclass(frozen=True)
class RowSource:
    """A table with rows of users that point at titles by foreign keys."""

    table: Table
    title_columns: Mapping[Media, str]
    """The foreign key's column by the kind of title."""

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def title(self) -> sql.Composed:
        """The id of the title, whichever column has it, of the row `r`."""
        columns = sql.SQL(", ").join(sql.Identifier("r", c) for c in self.title_columns.values())
        return sql.SQL("coalesce({})").format(columns)

    @property
    def changed_at(self) -> sql.Composable:
        """When the row `r` was changed last."""
        for name in ("updated_at", "added_at", "created_at"):
            if name in self.table.columns:
                return sql.Identifier("r", name)
        return sql.SQL("NULL")


@dataclass(frozen=True)
class Library:
    """The tables of one database, and the media server that filled them."""

    tables: Mapping[str, Table]
    sources: tuple[RowSource, ...]
    server: str | None
    """Type and base URL; None where the settings do not say."""
    provider: str | None
    """The type alone, as users have it."""

    def has(self, table: str, *columns: str) -> bool:
        return table in self.tables and set(columns) <= set(self.tables[table].columns)

    def source(self, name: str) -> RowSource | None:
        return next((source for source in self.sources if source.name == name), None)

    def titles(self, media: Media, condition: sql.Composable = EVERY) -> sql.Composed:
        """A query for titles of one kind with everything that identifies them."""
        table = self.tables[MEDIA_TABLES[media]]
        columns = [
            sql.SQL("{} AS {}").format(
                sql.Identifier("t", column)
                if column in table.columns
                else sql.SQL(f"NULL::{type_name}"),
                sql.Identifier(attribute),
            )
            for attribute, (column, type_name) in IDENTITY_COLUMNS.items()
        ]
        return sql.SQL(queries.load("relink/titles")).format(
            columns=sql.SQL(", ").join(columns), table=table.identifier, condition=condition
        )

    @property
    def unread_users(self) -> sql.Composed:
        """A query for the users whose history no job fetches: it is disabled for them, or they
        are of another media server."""
        users = self.tables["users"]
        disabled = "u.provider_disabled" if "provider_disabled" in users.columns else "false"
        query = sql.SQL("SELECT u.id FROM {} AS u WHERE {} OR u.provider <> {}")
        return query.format(users.identifier, sql.SQL(disabled), sql.Literal(self.provider))


def read_library(conn: Connection) -> Library:
    """The tables that are there. Needs SELECT on system_settings, where that exists.

    Raises ApertureDbError where row-level security hides rows: their titles would seem gone.
    """
    refuse_hidden_rows(conn, "users' data can't be matched, nothing was changed")
    tables = visible_tables(read_tables(conn))
    settings: dict[str, str] = {}
    if "system_settings" in tables:
        query = sql.SQL("SELECT key, value FROM {} WHERE key = ANY (%s)")
        keys = ["media_server_type", "media_server_base_url"]
        statement = query.format(tables["system_settings"].identifier)
        settings = {
            key: value for key, value in conn.execute(statement, [keys]).fetchall() if value
        }
    provider = settings.get("media_server_type")
    url = settings.get("media_server_base_url", "").rstrip("/")
    server = f"{provider} {url}" if provider and url else None
    return Library(tables, tuple(_row_sources(conn, tables)), server, provider)


def require_aperture(conn: Connection) -> Library:
    """The same, where there is anything. Raises UsageError in a database of another application."""
    library = read_library(conn)
    if "users" not in library.tables or not is_aperture(library.tables):
        raise UsageError(
            "this is not Aperture's database",
            why=f"{conn.info.dbname} has no tables of films, users and watch history",
            next_step="check the name of the database in the connection string",
            code="not_aperture",
        )
    return library


def refuse_hidden_rows(conn: Connection, what: str) -> None:
    """Raise ApertureDbError(`what`) where row-level security hides rows of Aperture's tables, or
    of those of what is kept."""
    tables = read_tables(conn)
    require_all_rows(conn, (t for t in tables if t.is_visible or t.schema == OWN_SCHEMA), what)


def _row_sources(conn: Connection, tables: Mapping[str, Table]) -> Collection[RowSource]:
    """The tables of users' rows, and the watch history, whose rows not every sync brings back."""
    media_of = {tables[name].oid: media for media, name in MEDIA_TABLES.items() if name in tables}
    columns: dict[int, dict[Media, str]] = {}
    for key in read_foreign_keys(conn):
        if key.referenced_oid in media_of and len(key.columns) == 1:
            columns.setdefault(key.table_oid, {})[media_of[key.referenced_oid]] = key.columns[0]
    for table in tables.values():
        for media in media_of.values():
            # A restore may have left the foreign key out.
            if (column := f"{media}_id") in table.columns:
                columns.setdefault(table.oid, {}).setdefault(media, column)
    return [
        RowSource(table, columns[table.oid])
        for name, table in sorted(tables.items())
        if table.oid in columns
        and {"id", "user_id"} <= set(table.columns)
        and (name == WATCH_HISTORY or _is_made_by_users(name))
    ]


def _is_made_by_users(name: str) -> bool:
    entry = table_named(name)
    return entry is not None and Maker.USERS in entry.makers


def read_column_types(conn: Connection, tables: Collection[Table]) -> dict[tuple[int, str], str]:
    """The types of these tables' columns, by the table's oid and the column's name."""
    parameters = {"tables": [table.oid for table in tables]}
    rows = conn.execute(queries.load("relink/column_types"), parameters)
    return {(oid, name): type_name for oid, name, type_name in rows}


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


def require_kept_tables(conn: Connection) -> None:
    """Raise ApertureDbError where nothing was ever kept."""
    if not has_kept_tables(conn):
        raise ApertureDbError(
            "nothing is kept in this database",
            why="no purge has kept user data here, and neither has relink --keep or --import",
            next_step="aperture-db relink --keep",
            code="nothing_kept",
        )


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
    from another database, and only where they are unique here and among the users there.
    """
    here = list(present)
    by_id = {user.user_id: user for user in here}
    by_account = {(user.provider, user.provider_user_id): user for user in here}
    by_name = _unique_names(here)
    found = {}
    strangers = []
    for user_id in {row.user_id for row in kept.rows} | kept.users.keys():
        known = kept.users.get(user_id)
        same = by_id.get(user_id)
        if same is None and known is not None and known.provider_user_id is not None:
            same = by_account.get((known.provider, known.provider_user_id))
        if same is not None:
            found[user_id, False] = found[user_id, True] = same
        elif known is not None:
            strangers.append(known)
    # A file of ratings names its users and nothing else, so each name is one user there.
    named = [user for user in strangers if user.provider_user_id is None]
    others = _unique_names(user for user in strangers if user.provider_user_id is not None)
    for user in (*named, *others.values()):
        if same := by_name.get(user.username.casefold()):
            found[user.user_id, True] = same
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
        next_step="aperture-db relink --show pending",
    )
