"""Channels, playlists, uploaded pictures, and the libraries that Aperture makes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from aperture_db.sample.people import SampleUser
from aperture_db.sample.rows.content import FILM_LIBRARY, film_item_id
from aperture_db.sample.rows.taste import media_types
from aperture_db.sample.tables import Row, TableRows
from aperture_db.sample.titles import Film
from aperture_db.sample.world import World

CHANNELS = (
    ("Friday night thrillers", "Thriller", "Tense, but nothing gruesome"),
    ("Under ninety minutes", "Comedy", "Short and light"),
    ("Silent to sound", "Drama", "Films from before 1950"),
)
LIBRARY_ROOT = "/aperture-libraries"
EXAMPLES = 4
NOUNS = {"movie": ("movies", "Movies"), "series": ("series", "TV Series")}


def tables(world: World) -> Iterator[TableRows]:
    channel_ids = [world.new_id() for _ in CHANNELS]
    share_ids = [world.new_id() for _ in CHANNELS]
    yield TableRows("channels", _channels(world, channel_ids))
    yield TableRows("channel_shares", _shares(world, channel_ids, share_ids))
    yield TableRows("playlists", _playlists(world, channel_ids, share_ids))
    yield TableRows("graph_playlists", _graph_playlists(world))
    yield TableRows("strm_libraries", _libraries(world))
    yield TableRows("media_images", _pictures(world))


def _owner(world: World, number: int) -> SampleUser:
    return world.enabled_users[number % len(world.enabled_users)]


def _channels(world: World, ids: list[UUID]) -> Iterator[Row]:
    for number, (name, genre, wish) in enumerate(CHANNELS):
        fitting = [film.id for film in world.films if genre in film.genres] or [world.films[0].id]
        yield {
            "id": ids[number],
            "created_at": world.now - timedelta(days=90 - number),
            "updated_at": world.clock.sunday(),
            "owner_id": _owner(world, number).id,
            "name": name,
            "description": f"{wish}.",
            "genre_filters": [genre],
            "text_preferences": wish,
            "example_movie_ids": fitting[:EXAMPLES],
            "is_pinned_row": number == 0,
            "playlist_id": f"{0xC00 + number:032x}",
            "is_active": True,
            "last_generated_at": world.clock.sunday(),
        }


def _shares(world: World, channel_ids: list[UUID], ids: list[UUID]) -> Iterator[Row]:
    for number, channel_id in enumerate(channel_ids):
        yield {
            "id": ids[number],
            "created_at": world.now - timedelta(days=60 - number),
            "channel_id": channel_id,
            "shared_with_user_id": _owner(world, number + 1).id,
            "viewer_playlist_id": f"{0xD00 + number:032x}",
        }


def _playlists(world: World, channel_ids: list[UUID], share_ids: list[UUID]) -> Iterator[Row]:
    for number, (name, *_) in enumerate(CHANNELS):
        for is_shared in (False, True):
            yield {
                "id": world.new_id(),
                "user_id": _owner(world, number + is_shared).id,
                "channel_id": channel_ids[number],
                "channel_share_id": share_ids[number] if is_shared else None,
                "name": name,
                "provider_playlist_id": f"{(0xD00 if is_shared else 0xC00) + number:032x}",
                "playlist_type": "shared_channel" if is_shared else "channel",
                "is_active": True,
                "last_synced_at": world.clock.sunday(),
                "item_count": 20,
                "media_type": "movies",
            }


def _graph_playlists(world: World) -> Iterator[Row]:
    sources = [
        (world.films[0], "movie", film_item_id(world.films[0])),
        (world.shows[0], "series", ""),
    ]
    for number, (title, media_type, _) in enumerate(sources):
        yield {
            "id": world.new_id(),
            "name": f"Around {title.name}",
            "description": f"What the graph shows near {title.name}.",
            "media_server_playlist_id": f"{0xE00 + number:032x}",
            "owner_id": _owner(world, number).id,
            "source_item_id": str(title.id),
            "source_item_type": media_type,
            "item_count": 12,
            "created_at": world.now - timedelta(days=20 - number),
        }


def _libraries(world: World) -> Iterator[Row]:
    """One per user and kind, and the Top Picks that belong to everybody."""
    number = 0
    for user in [*world.enabled_users, None]:
        for media_type in media_types(user) if user else NOUNS:
            plural, shown = NOUNS[media_type]
            name = f"{user.name}'s AI Picks - {shown}" if user else f"Top Picks - {plural.title()}"
            number += 1
            yield {
                "id": world.new_id(),
                "user_id": user.id if user else None,
                "name": name,
                "path": f"{LIBRARY_ROOT}/{user.name if user else 'top-picks'}/{plural}",
                "provider_library_id": f"{0xF00 + number:032x}",
                "provider_library_guid": f"{0xF80 + number:032x}",
                "media_type": plural,
                "library_type": "ai-recs",
                "is_active": True,
            }


def _pictures(world: World) -> Iterator[Row]:
    entities = (("library", FILM_LIBRARY), ("playlist", f"{0xC00:032x}"))
    for entity_type, entity_id in entities:
        yield {
            "id": world.new_id(),
            "entity_type": entity_type,
            "entity_id": entity_id,
            "image_type": "Primary",
            "is_default": entity_type == "library",
            "user_id": world.users[0].id,
            "file_path": f"{LIBRARY_ROOT}/.aperture-data/uploads/{entity_type}.jpg",
            "original_filename": "poster.jpg",
            "mime_type": "image/jpeg",
            "width": 1000,
            "height": 1500,
        }


def films_named(films: list[Film], count: int) -> str:
    """The first films' names, as a sentence has them."""
    return ", ".join(film.name for film in films[:count])
