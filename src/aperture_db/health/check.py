"""A check and what it works with: the decorator, the context of its transaction, what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from psycopg import sql
from psycopg.rows import dict_row

from aperture_db import sql as queries
from aperture_db.aperture.structure import structure_after
from aperture_db.aperture.tables import MIGRATIONS_TABLE, is_aperture
from aperture_db.format import quote_identifier
from aperture_db.health.report import Area, Cause, Finding, Status, Thresholds
from aperture_db.postgres import Platform
from aperture_db.postgres.catalog import (
    Table,
    explain_unreadable,
    read_tables,
    visible_tables,
)
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target

Row = TypeVar("Row")

TIMEOUT_SECONDS = 5.0
DAY_SECONDS = 86_400


class SkippedError(Exception):
    """Raised by a check that can't be done."""

    def __init__(self, cause: Cause, reason: str, advice: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.cause = cause
        self.reason = reason
        self.advice = advice


class NothingToCheckError(Exception):
    """Raised by a check whose tables this version, or this database, does not have."""


@dataclass(frozen=True)
class Identity:
    """The database and the role of the session."""

    database: str
    role: str
    is_standby: bool
    may_see_sessions: bool
    """The role sees other users' sessions, too."""


@dataclass
class Shared:
    """Readings that several checks need; a failed reading is not kept."""

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
    timeout_seconds: float = TIMEOUT_SECONDS
    """For each statement; a check of many statements keeps to it as a whole."""

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
        """The rows of a query of sql/health.sql; `parts` replace its {names}.

        Relations of Aperture's schema lose its name, as everybody knows them.
        """
        statement = queries.compose(f"health/{query}", **parts)
        with self.conn.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(statement, parameters or {}).fetchall()
        return [
            row_type(**{key: _bare(self.conn, value) for key, value in row.items()})
            for row in found
        ]

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
        statement = queries.compose(f"health/{query}", **parts)
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


def _bare(conn: Connection, value: object) -> object:
    """A name, or a list of names, without Aperture's schema at its beginning."""
    if isinstance(value, list):
        return [_bare(conn, each) for each in value]
    if isinstance(value, str):
        for prefix in (f"{conn.schema}.", f"{quote_identifier(conn.schema)}."):
            value = value.removeprefix(prefix)
    return value


@dataclass(frozen=True)
class CheckOutcome:
    """The result of looking at one thing; its status is that of its worst finding."""

    summary: str
    value: float | int | str | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Check:
    """One check of the registry."""

    id: str
    """Stable: scripts name it."""
    area: Area
    about: str
    """The state that is ok, or the measured value, for the reference; a sentence."""
    source: str
    """The origin of the values and thresholds, for the reference."""
    thresholds: Thresholds | None
    look: Callable[[Context], CheckOutcome] = field(repr=False)
    on_request: bool = False
    """Takes long, so it runs only where `--only` names it."""


@dataclass(frozen=True)
class CheckSelection:
    """The checks of a run, what they ignore and their thresholds."""

    only: frozenset[str] = frozenset()
    """Ids; empty for all."""
    ignored: frozenset[tuple[str, str]] = frozenset()
    """Pairs of id and object, which may have * and ?; without an object the whole check."""
    warnings: Mapping[str, float] = field(default_factory=dict)
    """By id."""
    criticals: Mapping[str, float] = field(default_factory=dict)
    strict: bool = False
    timeout_seconds: float = TIMEOUT_SECONDS
    """For each statement of each check."""

    def includes(self, check: Check) -> bool:
        if check.id not in self.only and (self.only or check.on_request):
            return False
        return (check.id, "") not in self.ignored

    def ignores(self, check_id: str, name: str) -> bool:
        """Tell if findings about the object `name` are ignored."""
        return bool(name) and any(
            check_id == ignored and pattern and fnmatchcase(name, pattern)
            for ignored, pattern in self.ignored
        )

    def thresholds(self, check: Check) -> Thresholds | None:
        if check.thresholds is None:
            return None
        return replace(
            check.thresholds,
            warning=self.warnings.get(check.id, check.thresholds.warning),
            critical=self.criticals.get(check.id, check.thresholds.critical),
        )


def check(
    check_id: str,
    area: Area,
    *,
    about: str,
    source: str,
    thresholds: Thresholds | None = None,
    on_request: bool = False,
) -> Callable[[Callable[[Context], CheckOutcome]], Check]:
    """Make a function a check."""

    def make(look: Callable[[Context], CheckOutcome]) -> Check:
        return Check(check_id, area, about, source, thresholds, look, on_request)

    return make


def need_other_sessions(context: Context) -> None:
    """Raise SkippedError without the privilege to see other users' sessions."""
    if not context.identity().may_see_sessions:
        role = context.identity().role
        raise SkippedError(
            Cause.PRIVILEGE,
            f"role {role} sees only its own sessions; a superuser can let it see all",
            (f"GRANT pg_monitor TO {quote_identifier(role)};",),
        )


@dataclass(frozen=True)
class Age:
    counted_seconds: float | None


def counted_days(context: Context) -> float | None:
    """For how long the database's statistics have been counting, at least one day: a fresh reset
    must not be extrapolated. None where it is unknown; raises SkippedError where the record of
    migrations would, and may not be read."""
    age = context.row("statistics_age", Age)
    if age is None or age.counted_seconds is None:
        records = visible_tables(context.tables()).get(MIGRATIONS_TABLE)
        if records is None:
            return None
        refuse_unreadable(context, [records])
        age = context.row("installation_age", Age)
    if age is None or age.counted_seconds is None:
        return None
    return max(age.counted_seconds / DAY_SECONDS, 1.0)


@dataclass(frozen=True)
class RecordedMigration:
    name: str


def need_primary(context: Context, what: str) -> None:
    """Raise SkippedError on a standby: `what` is known to its primary only."""
    if context.identity().is_standby:
        raise SkippedError(
            Cause.STANDBY,
            f"a standby does not know {what}; check the primary too",
            ("connect to the primary server",),
        )


def need_aperture(context: Context) -> dict[str, Table]:
    """Aperture's tables by name; raises NothingToCheckError in any other database."""
    visible = visible_tables(context.tables())
    if not is_aperture(visible):
        raise NothingToCheckError("not a database of Aperture")
    return visible


def recorded_migrations(context: Context) -> frozenset[str]:
    """The names in the record of migrations; raises SkippedError where it may not be read."""
    records = visible_tables(context.tables()).get(MIGRATIONS_TABLE)
    if records is None:
        return frozenset()
    refuse_unreadable(context, [records])
    return frozenset(row.name for row in context.rows("recorded_migrations", RecordedMigration))


def need_tables(context: Context, *names: str) -> dict[str, Table]:
    """Aperture's tables, these of them readable.

    Raises NothingToCheckError where this version does not have the first, and SkippedError where
    it should, or where one may not be read. Others may be missing.
    """
    visible = need_aperture(context)
    if names[0] not in visible:
        if names[0] in structure_after(recorded_migrations(context))["tables"]:
            raise SkippedError(
                Cause.FAILED,
                f"the table {names[0]} is missing",
                ("aperture-db health --only schema-drift",),
            )
        raise NothingToCheckError("not in this version")
    refuse_unreadable(context, [visible[name] for name in names if name in visible])
    return visible


def refuse_unreadable(context: Context, tables: list[Table]) -> None:
    """Raise SkippedError where one of the tables may not be read."""
    if refusal := explain_unreadable(tables, context.identity().role):
        raise SkippedError(Cause.PRIVILEGE, refusal.reason, refusal.statements)
