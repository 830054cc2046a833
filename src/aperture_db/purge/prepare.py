"""From an option to its plan and its work."""

from __future__ import annotations

import psycopg

from aperture_db.aperture import group_of
from aperture_db.errors import ApertureDbError
from aperture_db.migrations.directory import read_directory
from aperture_db.postgres import catalog
from aperture_db.postgres.connection import Connection, set_local, timeout_parameter
from aperture_db.purge.assess import require_privileges
from aperture_db.purge.execute import Work
from aperture_db.purge.locks import READ_CONFLICTS, describe_refusal
from aperture_db.purge.plan import plan
from aperture_db.purge.rebuild import RebuildWork
from aperture_db.purge.rebuild_plan import plan_rebuild
from aperture_db.purge.report import PurgePlan
from aperture_db.purge.scoped import ScopedWork
from aperture_db.purge.scopes import Options, scope_of
from aperture_db.purge.what import What


def make_plan(
    conn: Connection, what: What, options: Options, lock_timeout_seconds: float
) -> PurgePlan:
    """Count what a purge would do, in one transaction that changes nothing.

    Raises BusyError, naming the holder, when a table can't be read in time, and ApertureDbError
    for whatever would keep the purge from being done.
    """
    try:
        with conn.transaction():
            lock_timeout = timeout_parameter(lock_timeout_seconds)
            set_local(conn, lock_timeout=lock_timeout, row_security="off")
            if what is What.EVERYTHING:
                return plan_rebuild(conn, read_directory(), options)
            return plan(conn, what, options)
    except psycopg.errors.LockNotAvailable as error:
        tables = [table for table in catalog.read_tables(conn) if group_of(table.name)]
        raise describe_refusal(conn, tables, READ_CONFLICTS, lock_timeout_seconds) from error


def require_doable(conn: Connection, plan: PurgePlan) -> None:
    """Raise ApertureDbError for what is known to keep this connection from doing a plan."""
    database = catalog.read_database(conn)
    if database.is_standby:
        raise ApertureDbError(
            "this database can only be read, nothing was changed",
            why="it is a standby",
            next_step="connect to the primary server",
            code="read_only",
        )
    require_privileges(plan.missing_privileges, database.role)


def make_work(plan: PurgePlan) -> Work:
    """What `execute` does to carry out a plan."""
    assert plan.preparation is not None
    if plan.what is What.EVERYTHING:
        return RebuildWork(read_directory(), plan.preparation)
    return ScopedWork(scope_of(plan.what, plan.options), plan.preparation)
