"""What a check has at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from psycopg import sql
from psycopg.rows import class_row, dict_row

from aperture_db import sql as queries
from aperture_db.health.report import Status, Thresholds
from aperture_db.postgres.catalog import Table, read_tables
from aperture_db.postgres.connection import Connection
from aperture_db.postgres.hosting import Platform
from aperture_db.postgres.target import Target

Row = TypeVar("Row")


@dataclass(frozen=True)
class Identity:
    """Where the session is, and as whom."""

    database: str
    role: str
    is_standby: bool
    may_see_sessions: bool
    """What other users' sessions do."""


@dataclass
class Shared:
    """What one check read and the next ones need too; a failed reading is not kept."""

    identity: Identity | None = None
    tables: list[Table] | None = None
    place: Platform | None = None
    connect_seconds: float = 0.0


@dataclass(frozen=True)
class Context:
    """The open transaction of one check, its thresholds, and what all checks share."""

    conn: Connection
    target: Target
    thresholds: Thresholds | None
    shared: Shared = field(default_factory=Shared)
    migrations: Path | None = None
    """Directory of migration files other than the bundled one."""

    @property
    def limits(self) -> Thresholds:
        assert self.thresholds is not None, "this check has no thresholds"
        return self.thresholds

    def judge(self, value: float) -> Status:
        """The status of a value by the thresholds."""
        return self.limits.judge(value)

    def rows(
        self,
        query: str,
        row_type: type[Row],
        parameters: Mapping[str, object] | None = None,
        **parts: sql.Composable,
    ) -> list[Row]:
        """The rows of a query of sql/health; `parts` replace its {names}."""
        text = sql.SQL(queries.load(f"health/{query}"))
        statement = text.format(**parts) if parts else text
        with self.conn.cursor(row_factory=class_row(row_type)) as cursor:
            return cursor.execute(statement, parameters or {}).fetchall()

    def row(
        self,
        query: str,
        row_type: type[Row],
        parameters: Mapping[str, object] | None = None,
        **parts: sql.Composable,
    ) -> Row | None:
        """The first row, or None."""
        return next(iter(self.rows(query, row_type, parameters, **parts)), None)

    def number(
        self, query: str, parameters: Mapping[str, object] | None = None, **parts: sql.Composable
    ) -> int:
        """The one number that a query of sql/health answers with."""
        text = sql.SQL(queries.load(f"health/{query}"))
        statement = text.format(**parts) if parts else text
        row = self.conn.execute(statement, parameters or {}).fetchone()
        assert row is not None, query
        return int(row[0])

    def identity(self) -> Identity:
        if self.shared.identity is None:
            self.shared.identity = self.row("identity", Identity)
        assert self.shared.identity is not None
        return self.shared.identity

    def tables(self) -> list[Table]:
        """Every table of the database."""
        if self.shared.tables is None:
            self.shared.tables = read_tables(self.conn)
        return self.shared.tables

    def settings(self, *names: str) -> dict[str, str]:
        """Settings of the server as text."""
        with self.conn.cursor(row_factory=dict_row) as cursor:
            cursor.execute(queries.load("health/settings"), {"names": list(names)})
            return {row["name"]: row["value"] for row in cursor}
