"""What users and administrators made is named before it is lost, whatever the purge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from aperture_db.aperture import TABLES, ApertureTable, LostData
from aperture_db.aperture.kinds import Maker
from tests.purge.additions import add_rows
from tests.purge.purging import losses_of, plan_of, purge

PURGES = [
    ("movies",),
    ("series",),
    ("content",),
    ("movies", "--no-keep"),
    ("series", "--no-keep"),
    ("content", "--no-keep"),
    ("content", "--include-locked"),
    ("watch-history",),
    ("ratings",),
    ("everything",),
]


def holds_user_data(table: ApertureTable) -> bool:
    """Users or administrators made some of its rows."""
    return bool({Maker.USERS, Maker.ADMINISTRATOR}.intersection(table.makers))


HELD = [
    pytest.param(name, loss, id=f"{name}: {loss.noun}")
    for name, table in TABLES.items()
    if holds_user_data(table)
    for loss in table.losses
]
Values = dict[str, dict[str, Any]]
"""What the rows hold that a loss is about, by their ids."""


def held_by(conn: psycopg.Connection, table: str, loss: LostData) -> Values:
    """The rows that hold such data now, each with the columns whose reset loses it."""
    columns = ", ".join(f"'{name}', {name}::text" for name in loss.columns)
    condition = (loss.where or "true").format(users="users", system_settings="system_settings")
    key = "key" if table == "system_settings" else "job_name" if table == "job_config" else "id"
    rows = conn.execute(
        f"SELECT {key}::text, jsonb_build_object({columns}) FROM {table} WHERE {condition}"
    ).fetchall()
    return {identity: values for identity, values in rows if all(values.values())}


def remaining(conn: psycopg.Connection, table: str) -> Values:
    """Every row of a table by its key."""
    rows = conn.execute(f"SELECT to_jsonb(t) FROM {table} AS t").fetchall()
    found = {}
    for (row,) in rows:
        key = row.get("id", row.get("key", row.get("job_name")))
        found[str(key)] = row
    return found


@pytest.fixture
def filled(sample_database: Callable[[], str]) -> str:
    """The sample library with rows of every kind that users and administrators make."""
    database = sample_database()
    with psycopg.connect(database) as conn:
        add_rows(conn)
    return database


@pytest.mark.parametrize(("table", "loss"), HELD)
def test_the_library_of_this_test_holds_such_data(table: str, loss: LostData, filled: str) -> None:
    with psycopg.connect(filled) as conn:
        assert held_by(conn, table, loss)


@pytest.mark.parametrize("arguments", PURGES, ids=" ".join)
def test_a_purge_names_what_users_and_administrators_made(
    arguments: tuple[str, ...], filled: str
) -> None:
    what = ("--what", *arguments)
    losses = [
        (name, loss)
        for name, table in TABLES.items()
        if holds_user_data(table)
        for loss in table.losses
        if not loss.with_rows_of
    ]
    with psycopg.connect(filled, autocommit=True) as conn:
        before = [held_by(conn, name, loss) for name, loss in losses]
        whole = {name: remaining(conn, name) for name, _ in losses}
        plan = plan_of(filled, *what)
        named, kept = losses_of(plan), (plan["user_data"] or {}).get("rows", {})
        purge(filled, *what)
        after = {name: remaining(conn, name) for name, _ in losses}
    for (name, loss), held in zip(losses, before, strict=True):
        if arguments == ("everything",):
            lost = 0 if loss.columns else len(held)
        elif name in kept:
            lost = 0
        elif loss.columns:
            lost = sum(
                any(after[name][key][c] != whole[name][key][c] for c in loss.columns)
                for key in held
                if key in after[name]
            )
        else:
            lost = sum(key not in after[name] for key in held)
        assert named.get(loss.noun, 0) == lost, loss.noun


def test_all_that_users_made_is_named_before_everything_goes(filled: str) -> None:
    """Each of these was once forgotten."""
    named = losses_of(plan_of(filled, "--what", "everything"))
    assert {
        "franchise preferences",
        "genre weights",
        "channel shares",
        "library configurations",
    } <= named.keys()


def test_links_in_chats_are_lost_unless_titles_are_kept(filled: str) -> None:
    for what in ("movies", "series", "content"):
        assert losses_of(plan_of(filled, "--what", what, "--no-keep"))["links in chats"] > 0
        assert "links in chats" not in losses_of(plan_of(filled, "--what", what))
    for what in ("watch-history", "ratings", "everything"):
        assert "links in chats" not in losses_of(plan_of(filled, "--what", what))
