"""What no job can bring back after a purge."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.purge.report import Loss
from aperture_db.purge.situation import Situation
from aperture_db.purge.what import What

MANUAL_RATINGS = "manual ratings"
WATCHING_SETTING = "watching_library_enabled"


def find_losses(situation: Situation) -> Iterator[Loss]:
    """Only what this database really has."""
    yield from _ratings(situation)
    yield from _watching(situation)
    if situation.takes_content:
        yield from _references(situation)


def _ratings(situation: Situation) -> Iterator[Loss]:
    effect = situation.effect("user_ratings")
    if effect is None or effect.going is None or not situation.has("users"):
        return
    is_connected = "trakt_access_token IS NOT NULL"
    rows = situation.ask(
        "ratings",
        ratings=effect.table.identifier,
        users=situation.tables["users"].identifier,
        going=effect.going,
        is_connected=sql.SQL(
            is_connected if situation.has("users", "trakt_access_token") else "false"
        ),
    )
    for source, count, unconnected in rows:
        if source == "trakt":
            lost, why = int(str(unconnected)), "their users are not connected to Trakt any more"
        else:
            lost, why = int(str(count)), "made in Aperture and kept nowhere else"
        if lost:
            yield Loss(f"{source} ratings", lost, why)


def _watching(situation: Situation) -> Iterator[Loss]:
    """Favourites on the media server stay, but they are read only for some users."""
    watching = situation.effect("user_watching_series")
    if watching is None or not situation.rows_going("user_watching_series"):
        return
    if _setting(situation, WATCHING_SETTING) == "false":
        rows = situation.rows_going("user_watching_series")
        why = f"the setting {WATCHING_SETTING} is false, so no job fetches them"
    elif situation.has("users", "is_enabled"):
        rows = situation.count(
            "watching_of_disabled",
            watching=watching.table.identifier,
            users=situation.tables["users"].identifier,
        )
        why = "their users are not enabled, so no job fetches them"
    else:
        return
    if rows:
        yield Loss("series being watched", rows, why)


def _setting(situation: Situation, key: str) -> str | None:
    if not situation.has("system_settings", "key", "value"):
        return None
    row = situation.conn.execute(queries.load("aperture/settings"), {"keys": [key]}).fetchone()
    return str(row[1]) if row else None


def _references(situation: Situation) -> Iterator[Loss]:
    """Titles get new ids with the next sync, so what names the old ones can't be mended."""
    if rows := situation.rows_changed("channels", "example_movie_ids"):
        yield Loss("channels' example films", rows, "films get new ids with the next sync")
    if rows := situation.rows_changed("graph_playlists", "source_item_id"):
        yield Loss("graph playlists' sources", rows, "titles get new ids with the next sync")
    if situation.what is not What.EVERYTHING and situation.has("assistant_conversations"):
        table = situation.tables["assistant_conversations"].identifier
        if rows := situation.count("conversations", table=table):
            yield Loss("links in chats", rows, "the chats stay, their links to titles lead nowhere")
