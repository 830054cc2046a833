"""Decisions of a person about what is kept: a match, or to drop everything."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from aperture_db import sql as queries
from aperture_db.errors import UsageError
from aperture_db.postgres.connection import Connection
from aperture_db.relink.identity import TitleIdentity
from aperture_db.relink.kept import read_kept, read_present_titles, require_kept_tables
from aperture_db.relink.library import read_library


@dataclass(frozen=True)
class Decision:
    """A match that a person chose."""

    old_id: UUID
    old_title: str
    new_id: UUID
    new_title: str


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


def forget(conn: Connection) -> None:
    """Drop everything that is kept, within the open transaction. Needs to own the tables."""
    conn.execute(queries.load("relink/forget"))


def _unusable(what: str) -> UsageError:
    return UsageError(
        f"--match can't be used: {what}",
        why="OLD is the id of a kept title, NEW the id of a title that is there now",
        next_step="aperture-db relink --show pending lists both",
    )
