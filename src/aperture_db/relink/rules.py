"""The conditions under which a kept row is put back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.postgres.connection import Connection
from aperture_db.relink.identity import TitleIdentity
from aperture_db.relink.kept import Kept, KeptRow, PresentUser
from aperture_db.relink.library import PROFILES, WATCH_HISTORY, WATCHING, Library
from aperture_db.relink.report import Match, RelinkOptions, Result, RowOrigin, RowState

FAVORITES_JOB = "sync-watching-favorites"


@dataclass(frozen=True)
class Assignment:
    """A kept row, with what would become of it now."""

    row: KeptRow
    state: RowState
    title: TitleIdentity | None = None
    """The new one."""
    user: PresentUser | None = None
    may_insert: bool = True
    """False: only a row that is there already is renewed."""


class Rules:
    """The conditions under which kept rows are put back."""

    def __init__(
        self,
        conn: Connection,
        library: Library,
        kept: Kept,
        results: Mapping[TitleIdentity, Result],
        users: Mapping[tuple[UUID, bool], PresentUser],
        options: RelinkOptions,
    ) -> None:
        self._library = library
        self._kept = kept
        self._results = results
        self._users = users
        self._options = options
        self._watching: set[tuple[UUID, UUID]] = set()
        self._unsynced: set[UUID] = set()
        self._is_watching_disabled = False
        if any(row.source == WATCHING for row in kept.rows) and WATCHING in library.tables:
            self._read_watching(conn)

    def assign(self, row: KeptRow) -> Assignment:
        user = self._users.get((row.user_id, row.origin == RowOrigin.IMPORT))
        if row.source == PROFILES:
            state = RowState.READY if self._options.locked_profiles else RowState.NOT_REQUESTED
            return Assignment(row, state if user else RowState.USER_MISSING, None, user)
        old = self._kept.titles.get(row.title_id) if row.title_id is not None else None
        result = self._results[old] if old is not None else None
        if not isinstance(result, Match) or row.source not in self._library.tables:
            return Assignment(row, RowState.TITLE_PENDING, None, user)
        assert old is not None
        if row.origin == RowOrigin.KEEP and result.new.id == old.id:
            return Assignment(row, RowState.IN_PLACE, result.new, user)
        if user is None:
            return Assignment(row, RowState.USER_MISSING, result.new)
        if row.source == WATCH_HISTORY:
            is_wanted = self._options.watch_history and user.is_unread
            state = RowState.READY if is_wanted else RowState.NOT_REQUESTED
            return Assignment(row, state, result.new, user)
        if row.source == WATCHING:
            return self._assign_watching(row, old, result.new, user)
        return Assignment(row, RowState.READY, result.new, user)

    def _assign_watching(
        self, row: KeptRow, old: TitleIdentity, new: TitleIdentity, user: PresentUser
    ) -> Assignment:
        """Aperture makes a favorite of what is only in its table, so rows come back from the
        media server where they can, and only their time is put back."""
        if not user.is_enabled or self._is_watching_disabled or self._is_other_server(old):
            return Assignment(row, RowState.READY, new, user)
        if (user.user_id, new.id) in self._watching:
            return Assignment(row, RowState.READY, new, user, may_insert=False)
        state = RowState.RETURNS if new.id in self._unsynced else RowState.ENDED
        return Assignment(row, state, new, user, may_insert=False)

    def _is_other_server(self, old: TitleIdentity) -> bool:
        server = self._library.server
        return old.server is not None and server is not None and old.server != server

    def _read_watching(self, conn: Connection) -> None:
        tables = self._library.tables
        query = sql.SQL(queries.load("relink/present_watching"))
        self._watching = set(conn.execute(query.format(watching=tables[WATCHING].identifier)))
        wanted = {row.title_id for row in self._kept.rows if row.source == WATCHING}
        new = {
            result.new.id
            for kept_id, old in self._kept.titles.items()
            if kept_id in wanted and isinstance(result := self._results[old], Match)
        }
        unsynced = sql.SQL(queries.load("relink/series_without_favorites_sync")).format(
            series=tables["series"].identifier, job_runs=tables["job_runs"].identifier
        )
        parameters = {"series": list(new), "job": FAVORITES_JOB}
        self._unsynced = {row[0] for row in conn.execute(unsynced, parameters)}
        if self._library.has("system_settings", "key", "value"):
            setting = sql.SQL(queries.load("relink/setting")).format(
                settings=tables["system_settings"].identifier
            )
            row = conn.execute(setting, {"key": "watching_library_enabled"}).fetchone()
            self._is_watching_disabled = row == ("false",)
