"""Chats with the assistant, and what it suggests asking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.types.json import Jsonb

from aperture_db.sample.people import SampleUser
from aperture_db.sample.tables import Row, TableRows
from aperture_db.sample.titles import Film
from aperture_db.sample.world import World

CHATS_PER_USER = 3
MOODS = ("something funny", "a slow, beautiful film", "a film for the whole family")


@dataclass(frozen=True)
class Chat:
    id: UUID
    user: SampleUser
    started_at: datetime
    mood: str
    answer: tuple[Film, ...]


def tables(world: World) -> Iterator[TableRows]:
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
    names = [film.name for film in chat.answer]
    films = [{"id": str(film.id), "title": film.name} for film in chat.answer]
    search = [{"toolName": "searchMovies", "args": {"query": chat.mood}, "result": films}]
    turns = (
        ("user", f"I am in the mood for {chat.mood}. What do we have?", None),
        ("assistant", f"How about {names[0]}, {names[1]} or {names[2]}?", search),
        ("user", "How long is the first one?", None),
        ("assistant", f"{names[0]} takes {chat.answer[0].minutes} minutes.", None),
    )
    for minute, (role, content, tools) in enumerate(turns):
        yield {
            "id": world.new_id(),
            "conversation_id": chat.id,
            "role": role,
            "content": content,
            "created_at": chat.started_at + timedelta(minutes=minute),
            "tool_invocations": Jsonb(tools) if tools else None,
        }


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
