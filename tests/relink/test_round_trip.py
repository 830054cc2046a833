"""Everything a user made, compared with before, title by title."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from psycopg.rows import dict_row

from aperture_db.aperture import Media
from aperture_db.postgres.session import Connection, open_session
from tests.program import run_inside
from tests.relink.resync import (
    EVERYTHING,
    Snapshot,
    keep_and_delete,
    resync,
    take_snapshot,
)

Conn = Connection
UserMade = dict[str, list[dict[str, Any]]]
UUID_TEXT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
USER_MADE = {
    "user_ratings": "SELECT id, created_at, updated_at, user_id, movie_id, series_id, rating, "
    "source FROM user_ratings ORDER BY id",
    "channels": "SELECT id, example_movie_ids FROM channels ORDER BY id",
    "graph_playlists": "SELECT id, source_item_id FROM graph_playlists ORDER BY id",
    "assistant_messages": "SELECT id, content, tool_invocations::text FROM assistant_messages "
    "ORDER BY id",
}


@pytest.fixture
def database(sample_database: Callable[[], str]) -> str:
    return sample_database()


@pytest.fixture
def conn(database: str) -> Iterator[Conn]:
    with open_session(database) as connection:
        yield connection


def user_made(conn: Conn) -> UserMade:
    """The rows of users, as texts."""
    found = {}
    for name, query in USER_MADE.items():
        with conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(query).fetchall()
        found[name] = [
            {column: _renamed(value, {}) for column, value in row.items()} for row in rows
        ]
    return found


def _renamed(value: Any, texts: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(each, texts) for each in value]
    return UUID_TEXT.sub(lambda found: texts.get(found[0], found[0]), str(value))


@pytest.mark.parametrize(
    "media", [(Media.MOVIE,), (Media.SERIES, Media.EPISODE), EVERYTHING], ids=str
)
@pytest.mark.parametrize("lost_ids", [0.0, 0.33])
def test_everything_is_as_before(
    conn: Conn, database: str, media: tuple[Media, ...], lost_ids: float
) -> None:
    snapshot = take_snapshot(conn)
    before = user_made(conn)
    keep_and_delete(conn, media)
    new_ids = resync(conn, snapshot, seed=1, media=media, lost_ids=lost_ids)
    assert relink(database)["put_back"]["user_ratings"]
    expected = expected_after(before, new_ids)
    assert user_made(conn) == expected
    again = relink(database)
    assert (again["put_back"], again["updated"]) == ({}, {})
    assert user_made(conn) == expected


def test_nothing_is_kept(database: str) -> None:
    outcome = run_inside("relink", database=database)
    assert outcome.code == 1
    assert "nothing is kept" in outcome.err


def test_partial_library_waits_and_completes(conn: Conn, database: str) -> None:
    snapshot = take_snapshot(conn)
    before = user_made(conn)
    keep_and_delete(conn)
    first_half = Snapshot({Media.MOVIE: snapshot.rows[Media.MOVIE][::2]})
    new_ids = resync(conn, first_half, seed=1, media=(Media.MOVIE,))
    relink(database)
    plan = run_inside("relink", "--json", database=database).envelope["data"]["plan"]
    assert plan["pending"]
    second_half = Snapshot(snapshot.rows | {Media.MOVIE: snapshot.rows[Media.MOVIE][1::2]})
    new_ids |= resync(conn, second_half, seed=2)
    relink(database)
    assert user_made(conn) == expected_after(before, new_ids)


def relink(database: str) -> dict[str, Any]:
    """Apply, and return the outcome."""
    done = run_inside("relink", "--apply", "--json", database=database)
    assert done.code == 0, done.err
    outcome: dict[str, Any] = done.envelope["data"]["outcome"]
    return outcome


def expected_after(before: UserMade, new_ids: dict[UUID, UUID]) -> UserMade:
    """The rows as they were, with the new ids of titles."""
    texts = {str(old): str(new) for old, new in new_ids.items()}
    return {
        name: [{column: _renamed(value, texts) for column, value in row.items()} for row in rows]
        for name, rows in before.items()
    }
