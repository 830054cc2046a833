"""A purge and the next sync, as SQL: what Aperture's own jobs leave behind."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from aperture_db.aperture import MEDIA_TABLES, Media

Conn = psycopg.Connection[Any]
Rows = list[dict[str, Any]]
EVERYTHING = tuple(Media)


@dataclass(frozen=True)
class Snapshot:
    """The titles of a database, as a media server would hand them out again."""

    rows: dict[Media, Rows]


def take_snapshot(conn: Conn) -> Snapshot:
    rows: dict[Media, Rows] = {}
    for media, table in MEDIA_TABLES.items():
        with conn.cursor(row_factory=dict_row) as cursor:
            query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))
            rows[media] = cursor.execute(query).fetchall()
    return Snapshot(rows)


def resync(
    conn: Conn,
    snapshot: Snapshot,
    *,
    seed: int,
    media: Collection[Media] = EVERYTHING,
    lost_ids: float = 0.0,
    is_rebuilt: bool = True,
) -> dict[UUID, UUID]:
    """Insert the titles with new ids, in another order; with new item ids, too, if the server was
    built anew.

    `lost_ids` is the share of titles that come without ids at other catalogs. Returns the new ids
    by the old ones.
    """
    random = Random(seed)  # noqa: S311
    new_ids = {row["id"]: uuid4() for each in media for row in snapshot.rows[each]}
    for each in media:
        rows = [dict(row) for row in snapshot.rows[each]]
        random.shuffle(rows)
        for row in rows:
            row["id"] = new_ids[row["id"]]
            if is_rebuilt:
                row["provider_item_id"] = f"new-{row['id']}"
            if each is Media.EPISODE:
                row["series_id"] = new_ids[row["series_id"]]
            elif random.random() < lost_ids:
                row["imdb_id"] = row["tmdb_id"] = None
        insert_titles(conn, each, rows)
    return new_ids


def insert_titles(conn: Conn, media: Media, rows: Rows) -> None:
    """Insert titles with the columns that identify them."""
    known = (
        "id", "provider_item_id", "title", "original_title", "year", "imdb_id", "tmdb_id",
        "tvdb_id", "path", "series_id", "season_number", "episode_number", "premiere_date",
        "provider_library_id",
    )  # fmt: skip
    if not rows:
        return
    columns = [name for name in known if name in rows[0]]
    query = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(MEDIA_TABLES[media]),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(map(sql.Placeholder, columns)),
    )
    with conn.cursor() as cursor:
        cursor.executemany(query, [{name: row[name] for name in columns} for row in rows])


def add_title(conn: Conn, media: Media, **columns: Any) -> UUID:
    """Insert one title; returns its id."""
    row = {"id": uuid4()} | columns
    row.setdefault("provider_item_id", f"item-{row['id']}")
    insert_titles(conn, media, [row])
    new_id: UUID = row["id"]
    return new_id
