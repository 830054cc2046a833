"""Aperture's tables as relink sees them: titles, and the rows of users that point at them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.aperture.kinds import MEDIA_TABLES, Maker, Media
from aperture_db.aperture.tables import table_named
from aperture_db.postgres.catalog import Table, read_foreign_keys, read_tables, visible_tables
from aperture_db.postgres.session import Connection

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
    """The tables that are there. Needs SELECT on system_settings, where that exists."""
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


def _row_sources(conn: Connection, tables: Mapping[str, Table]) -> Collection[RowSource]:
    """The tables of users' rows, and the watch history, whose rows not every sync brings back."""
    media_of = {tables[name].oid: media for media, name in MEDIA_TABLES.items() if name in tables}
    columns: dict[int, dict[Media, str]] = {}
    for key in read_foreign_keys(conn):
        if key.referenced_oid in media_of and len(key.columns) == 1:
            columns.setdefault(key.table_oid, {})[media_of[key.referenced_oid]] = key.columns[0]
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
