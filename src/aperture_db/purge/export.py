"""Exports ratings by ids that outlive a purge and the next sync.

Users are named, and titles have their ids at IMDb, TMDB, TVDB and on the media server.
"""

from __future__ import annotations

import os
from pathlib import Path

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.postgres import catalog
from aperture_db.postgres.session import Connection
from aperture_db.purge import PurgeOptions, PurgeTarget
from aperture_db.purge.scopes import scope_of
from aperture_db.purge.selection import TRUE, select

RATINGS_TABLE = "user_ratings"


def require_new_file(path: Path) -> None:
    """Raise UsageError when the file exists, or its directory does not."""
    if path.exists() or not path.absolute().parent.is_dir():
        raise UsageError(
            f"the ratings cannot be written to {path}",
            why="it exists" if path.exists() else "its directory does not exist",
            next_step="name a new file in an existing directory",
            code="unusable_file",
        )


def export_ratings(
    conn: Connection, target: PurgeTarget, options: PurgeOptions, path: Path
) -> None:
    """Write the ratings that a purge deletes to a CSV file that only its owner can read.

    One transaction that changes nothing. Needs SELECT on user_ratings, users, movies and series.
    """
    with conn.transaction():
        statement = _statement(conn, target, options)
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


def _statement(conn: Connection, target: PurgeTarget, options: PurgeOptions) -> sql.Composed | None:
    """None for a version that has no ratings."""
    tables = catalog.visible_tables(catalog.read_tables(conn))
    if RATINGS_TABLE not in tables:
        return None
    deleted: sql.Composable = TRUE
    if target is not PurgeTarget.EVERYTHING:
        selection = select(conn, scope_of(target, options))
        effect = next((e for e in selection.effects if e.table.name == RATINGS_TABLE), None)
        if effect is None or effect.deleted is None:
            return None
        deleted = effect.deleted
    return sql.SQL(queries.load("purge/export_ratings")).format(
        ratings=tables[RATINGS_TABLE].identifier,
        users=tables["users"].identifier,
        movies=tables["movies"].identifier,
        series=tables["series"].identifier,
        deleted=deleted,
    )
