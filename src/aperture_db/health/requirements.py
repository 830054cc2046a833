"""What a check needs before it can look."""

from __future__ import annotations

from dataclasses import dataclass

from aperture_db import aperture
from aperture_db.format import list_some, quote_identifier
from aperture_db.health.check import NothingToCheckError, SkippedError
from aperture_db.health.context import Context
from aperture_db.health.report import Cause
from aperture_db.postgres.catalog import Table, grants_to_read, visible_tables

DAY_SECONDS = 86_400


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
    must not be extrapolated. None where nothing tells; raises SkippedError where the record of
    migrations would, and may not be read."""
    age = context.row("statistics_age", Age)
    if age is None or age.counted_seconds is None:
        records = visible_tables(context.tables()).get("aperture_migrations")
        if records is None:
            return None
        refuse_unreadable(context, [records])
        age = context.row("installation_age", Age)
    if age is None or age.counted_seconds is None:
        return None
    return max(age.counted_seconds / DAY_SECONDS, 1.0)


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
    if not aperture.is_aperture(visible):
        raise NothingToCheckError("not a database of Aperture")
    return visible


def need_tables(context: Context, *names: str) -> dict[str, Table]:
    """Aperture's tables, these of them readable.

    Raises NothingToCheckError where the first is missing in this version, and SkippedError where
    one may not be read. Others may be missing.
    """
    visible = need_aperture(context)
    if names[0] not in visible:
        raise NothingToCheckError("not in this version")
    refuse_unreadable(context, [visible[name] for name in names if name in visible])
    return visible


def refuse_unreadable(context: Context, tables: list[Table]) -> None:
    """Raise SkippedError where one of the tables may not be read."""
    denied = [table for table in tables if not table.may_select]
    if not denied:
        return
    role = context.identity().role
    names = list_some(table.name for table in denied)
    raise SkippedError(
        Cause.PRIVILEGE,
        f"role {role} may not read {names}; the tables' owner can let it",
        grants_to_read(denied, role),
    )
