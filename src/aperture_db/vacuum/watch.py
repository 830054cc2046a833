"""Looks at the server's progress views through a connection of its own."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import psycopg
from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.errors import ApertureDbError
from aperture_db.postgres.activity import Session, find_sessions
from aperture_db.postgres.connection import Connection, connect
from aperture_db.postgres.target import Target
from aperture_db.vacuum.report import PlannedTable
from aperture_db.vacuum.stages import ProgressRow


class ProgressWatch:
    """A context manager. Without a second connection, or after losing it, it sees nothing: the
    work itself does not depend on being watched."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._conn: Connection | None = None
        self._is_blind = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._conn is not None:
            self._conn.close()

    def look(self, table: PlannedTable) -> list[ProgressRow]:
        """What the server is doing to the table, its TOAST table included."""
        oids = [table.table.oid, *filter(None, [table.toast_oid])]
        conn = self._open()
        if conn is None:
            return []
        try:
            with conn.cursor(row_factory=class_row(ProgressRow)) as cursor:
                return cursor.execute(sql.load("vacuum/progress"), {"oids": oids}).fetchall()
        except psycopg.Error:
            self._is_blind = True
            return []

    def find_session(self, pid: int) -> Session | None:
        """The session that the work waits for."""
        conn = self._open()
        if conn is None:
            return None
        try:
            return find_sessions(conn, [pid]).get(pid)
        except psycopg.Error:
            self._is_blind = True
            return None

    def _open(self) -> Connection | None:
        if self._conn is None and not self._is_blind:
            try:
                self._conn = connect(self._target)
            except ApertureDbError:
                self._is_blind = True
        return None if self._is_blind else self._conn
