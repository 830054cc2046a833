"""What users made, compared with before, title by title; and relink run by its command line."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from tests.program import run_inside
from tests.relink.resync import Conn

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


def user_made(conn: Conn) -> UserMade:
    """The rows of users, as texts."""
    found: UserMade = {}
    for name, query in USER_MADE.items():
        with conn.cursor(row_factory=dict_row) as cursor:
            found[name] = cursor.execute(query).fetchall()
    return expected_after(found, {})


def expected_after(before: UserMade, new_ids: dict[UUID, UUID]) -> UserMade:
    """The rows as they were, with the new ids of titles."""
    texts = {str(old): str(new) for old, new in new_ids.items()}
    return {
        name: [{column: _renamed(value, texts) for column, value in row.items()} for row in rows]
        for name, rows in before.items()
    }


def _renamed(value: Any, texts: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(each, texts) for each in value]
    return UUID_TEXT.sub(lambda found: texts.get(found[0], found[0]), str(value))


def relink(database: str, *arguments: str) -> dict[str, Any]:
    """Apply, and return the outcome."""
    done = run_inside("relink", "--apply", *arguments, "--json", database=database)
    assert done.code == 0, done.err
    outcome: dict[str, Any] = done.envelope["data"]["outcome"]
    return outcome


def plan_of(database: str, *arguments: str) -> dict[str, Any]:
    """What a relink would do."""
    done = run_inside("relink", *arguments, "--json", database=database)
    assert done.code == 0, done.err
    plan: dict[str, Any] = done.envelope["data"]["plan"]
    return plan


def states_of(plan: dict[str, Any], table: str) -> dict[str, int]:
    """The kept rows of a table by what would become of them."""
    total: dict[str, int] = {}
    for row in plan["rows"]:
        for state, count in row["states"].items() if row["table"] == table else ():
            total[state] = total.get(state, 0) + count
    return total
