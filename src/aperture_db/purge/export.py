"""Saves ratings in a form that a purge and the next sync can't make worthless: by the names of the
users and the ids of the titles at IMDb, TMDB, TVDB and on the media server."""

from __future__ import annotations

import os
from pathlib import Path

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.postgres.connection import Connection
from aperture_db.purge.scopes import Options, scope_of
from aperture_db.purge.selection import TRUE, select
from aperture_db.purge.what import What


def require_new_file(path: Path) -> None:
    """Raise UsageError when there is something already, or no directory for it."""
    if path.exists() or not path.absolute().parent.is_dir():
        raise UsageError(
            f"the ratings can't be written to {path}",
            why="it exists" if path.exists() else "its directory does not exist",
            next_step="name a new file in a directory that is there",
            code="unusable_file",
        )


def export_ratings(conn: Connection, what: What, options: Options, path: Path) -> None:
    """Write the ratings that a purge takes to a CSV file that only its owner can read.

    One transaction that changes nothing. Needs SELECT on user_ratings, users, movies and series.
    """
    with conn.transaction():
        statement = _statement(conn, what, options)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                if statement is not None:
                    with conn.cursor().copy(statement) as copy:
                        for data in copy:
                            file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ApertureDbError(
                f"the ratings could not be written to {path}, nothing was changed",
                why=str(error.strerror),
                next_step="name another file with --export-ratings",
                code="export_failed",
            ) from error


def _statement(conn: Connection, what: What, options: Options) -> sql.Composed | None:
    """None for a version that has no ratings."""
    ratings: sql.Composable = sql.Identifier("user_ratings")
    going: sql.Composable = TRUE
    exists = conn.execute("SELECT to_regclass('user_ratings') IS NOT NULL").fetchone()
    if exists != (True,):
        return None
    if what is not What.EVERYTHING:
        selection = select(conn, scope_of(what, options))
        effect = next((e for e in selection.effects if e.table.name == "user_ratings"), None)
        if effect is None or effect.going is None:
            return None
        ratings, going = effect.table.identifier, effect.going
    text = queries.load("purge/export_ratings")
    return sql.SQL(text).format(ratings=ratings, going=going)
