"""Rows of channels, playlists, pictures, Aperture's own libraries, and chats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.types.json import Jsonb

from aperture_db.sample.people import SampleUser
from aperture_db.sample.rows import Row, TableRows
from aperture_db.sample.rows.library import FILM_LIBRARY, SERVER_URL, item_id_of
from aperture_db.sample.titles import Film, Show, Title
from aperture_db.sample.world import World

CHANNELS = (
    ("Friday night thrillers", "Thriller", "Tense, but nothing gruesome"),
    ("Under ninety minutes", "Comedy", "Short and light"),
    ("Silent to sound", "Drama", "Films from before 1950"),
)
LIBRARY_ROOT = "/aperture-libraries"
EXAMPLES = 4
NOUNS = {"movie": ("movies", "Movies"), "series": ("series", "TV Series")}
CHATS_PER_USER = 3
MOODS = ("something funny", "a slow, beautiful film", "a film for the whole family")


def channel_tables(world: World) -> Iterator[TableRows]:
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
    sources: tuple[Title, ...] = (world.films[0], world.shows[0])
    for number, title in enumerate(sources):
        yield {
            "id": world.new_id(),
            "name": f"Around {title.name}",
            "description": f"What the graph shows near {title.name}.",
            "media_server_playlist_id": f"{0xE00 + number:032x}",
            "owner_id": _owner(world, number).id,
            "source_item_id": str(title.id),
            "source_item_type": "series" if isinstance(title, Show) else "movie",
            "item_count": 12,
            "created_at": world.now - timedelta(days=20 - number),
        }


def _libraries(world: World) -> Iterator[Row]:
    """One per user and kind, and the Top Picks that belong to everybody."""
    number = 0
    for user in [*world.enabled_users, None]:
        for media_type in user.media_types if user else NOUNS:
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


@dataclass(frozen=True)
class Chat:
    id: UUID
    user: SampleUser
    started_at: datetime
    mood: str
    answer: tuple[Film, ...]
    series: Show


def chat_tables(world: World) -> Iterator[TableRows]:
    chats = list(_chats(world))
    yield TableRows("assistant_conversations", (_conversation(chat) for chat in chats))
    yield TableRows("assistant_messages", (row for chat in chats for row in _messages(world, chat)))
    yield TableRows("assistant_suggestions", (_suggestions(world, u) for u in world.enabled_users))


def _chats(world: World) -> Iterator[Chat]:
    for user in world.enabled_users:
        for number in range(user.number % CHATS_PER_USER + 1):
            yield Chat(
                id=world.new_id(),
                user=user,
                started_at=world.clock.moment(world.rng, world.now - timedelta(days=80)),
                mood=MOODS[(user.number + number) % len(MOODS)],
                answer=tuple(world.rng.sample(world.films, 3)),
                series=world.shows[(user.number + number) % len(world.shows)],
            )


def _conversation(chat: Chat) -> Row:
    return {
        "id": chat.id,
        "user_id": chat.user.id,
        "title": f"Looking for {chat.mood}",
        "created_at": chat.started_at,
        "updated_at": chat.started_at + timedelta(minutes=3),
    }


def _messages(world: World, chat: Chat) -> Iterator[Row]:
    first = chat.answer[0]
    links = [_link(film) for film in chat.answer]
    answer = f"How about {links[0]}, {links[1]} or {links[2]}? Or a series: {_link(chat.series)}."
    turns = (
        ("user", f"I am in the mood for {chat.mood}. What do we have?", None),
        ("assistant", answer, [_search(chat), _filmography(chat)]),
        ("user", "How long is the first one?", None),
        ("assistant", f"{_link(first)} takes {first.minutes} minutes.", [_details(chat)]),
    )
    for minute, (role, content, invocations) in enumerate(turns):
        yield {
            "id": world.new_id(),
            "conversation_id": chat.id,
            "role": role,
            "content": content,
            "created_at": chat.started_at + timedelta(minutes=minute),
            "tool_invocations": Jsonb(invocations) if invocations else None,
        }


def _search(chat: Chat) -> dict[str, object]:
    items = [_card(title) for title in (*chat.answer, chat.series)]
    return _invocation(
        chat, "search", {"query": chat.mood}, {"title": "Search results", "items": items}
    )


def _filmography(chat: Chat) -> dict[str, object]:
    films = [film for film in chat.answer if film.directors]
    people = [
        {
            "name": film.directors[0],
            "filmography": [{"id": str(film.id), "name": film.name, "year": film.year}],
        }
        for film in films
    ]
    names = [film.directors[0] for film in films]
    return _invocation(chat, "people", {"names": names}, {"people": people})


def _details(chat: Chat) -> dict[str, object]:
    film = chat.answer[0]
    card = _card(film) | {"id": f"detail-{film.id}", "contentId": str(film.id)}
    return _invocation(chat, "details", {"title": film.name}, card)


def _invocation(
    chat: Chat, name: str, args: dict[str, object], result: dict[str, object]
) -> dict[str, object]:
    return {
        "toolCallId": f"call_{name}_{chat.id.hex[:12]}",
        "toolName": name,
        "args": args,
        "result": result,
    }


def _card(title: Title) -> dict[str, object]:
    """A title as the app's tools return it, with its uuid and its media server's id in links."""
    item_id = item_id_of(title)
    play = f"{SERVER_URL}/web/index.html#!/details?id={item_id}"
    return {
        "id": str(title.id),
        "type": "series" if isinstance(title, Show) else "movie",
        "name": title.name,
        "subtitle": str(title.year),
        "image": f"{SERVER_URL}/Items/{item_id}/Images/Primary",
        "detailsUrl": _path(title),
        "playUrl": play,
        "actions": [
            {"id": "details", "label": "Details", "href": _path(title)},
            {"id": "play", "label": "Play", "href": play},
        ],
    }


def _link(title: Title) -> str:
    """In Markdown."""
    return f"[{title.name}]({_path(title)})"


def _path(title: Title) -> str:
    """The page of a title in the app."""
    return f"/{'series' if isinstance(title, Show) else 'movies'}/{title.id}"


def _suggestions(world: World, user: SampleUser) -> Row:
    titles = [*world.viewing.films_of(user), *world.viewing.shows_of(user)] or world.films
    made_at = world.clock.sunday() - timedelta(hours=4)
    return {
        "user_id": user.id,
        "suggestions": Jsonb(
            [f"What is like {title.name}?" for title in titles[:2]] + ["What is new this week?"]
        ),
        "generated_at": made_at,
        "updated_at": made_at,
    }
