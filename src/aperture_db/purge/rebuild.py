"""The work of `everything`: Aperture's tables and functions dropped and the recorded migrations
applied again, within one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.errors import BusyError
from aperture_db.migrations.directory import MigrationDirectory, MigrationFile
from aperture_db.migrations.script import StatementError, describe_failure, run_script
from aperture_db.migrations.transaction import FIRST_PAUSE_SECONDS, LOCK_KEY, record
from aperture_db.postgres.activity import find_advisory_holders
from aperture_db.postgres.connection import Connection
from aperture_db.purge.access import Access, read_access, restore_access
from aperture_db.purge.assess import Assessment, assess_rebuild, whole_selection
from aperture_db.purge.events import Doing
from aperture_db.purge.footprints import (
    Footprint,
    not_as_planned,
    read_footprints,
    require_untouched,
)
from aperture_db.purge.locks import locks_for, require_locked, take_locks
from aperture_db.purge.possessions import Possessions, find_possessions
from aperture_db.purge.recorded import Rebuildable, require_rebuildable
from aperture_db.purge.report import Preparation


class RebuildWork:
    """Locks, counts again, rebuilds and verifies, in this order and within one transaction."""

    def __init__(self, directory: MigrationDirectory, preparation: Preparation) -> None:
        self._directory = directory
        self._preparation = preparation
        self._rebuildable: Rebuildable
        self._access: Access
        self._footprints: dict[int, Footprint]

    def lock(self, conn: Connection, timeout_seconds: float) -> None:
        """Keep runners of migrations out, then lock every table of Aperture's."""
        _lock_out_runners(conn, timeout_seconds)
        locks = self._preparation.locks
        take_locks(conn, locks, timeout_seconds)
        role = self._preparation.role
        self._rebuildable = require_rebuildable(conn, self._directory, role)
        require_locked(locks_for(whole_selection(self._rebuildable.possessions)), locks)

    def assess(self, conn: Connection) -> Assessment:
        self._footprints = read_footprints(conn)
        self._access = read_access(conn, self._rebuildable.possessions)
        return assess_rebuild(conn, self._rebuildable.possessions, self._preparation.sizes)

    def act(self, conn: Connection) -> Iterator[Doing]:
        files = self._rebuildable.files
        yield Doing("dropping Aperture's tables and functions", 0, len(files))
        _drop(conn, self._rebuildable.possessions)
        conn.execute(queries.load("migrations/create_table"))
        for count, file in enumerate(files):
            yield Doing(f"applying {file.name}", count, len(files))
            _apply(conn, file, count)
        restore_access(conn, find_possessions(conn, files), self._access)

    def verify(self, conn: Connection, *, counters_work: bool) -> None:  # noqa: ARG002
        """Raise unless the records are what they were and nobody else's table was touched."""
        rebuilt = require_rebuildable(conn, self._directory, self._preparation.role)
        if rebuilt.files != self._rebuildable.files:
            raise not_as_planned("the migrations recorded now are not those of before")
        both = (*self._rebuildable.possessions.tables, *rebuilt.possessions.tables)
        concerned = {table.oid for table in both}
        require_untouched(self._footprints, read_footprints(conn), concerned)


def _lock_out_runners(conn: Connection, timeout_seconds: float) -> None:
    """Take the lock that all runners of migrations share. Raises BusyError."""
    deadline = time.monotonic() + timeout_seconds
    while not _try_lock(conn):
        if time.monotonic() > deadline:
            holders = find_advisory_holders(conn, LOCK_KEY)
            raise BusyError(
                "migrations are being applied right now, nothing was changed",
                why=f"held by {holders[0]}" if holders else "another run of migrate has the lock",
                next_step="wait until that has ended, then run the command again",
            )
        time.sleep(FIRST_PAUSE_SECONDS)


def _try_lock(conn: Connection) -> bool:
    row = conn.execute(queries.load("purge/lock_out_runners"), {"lock_key": LOCK_KEY}).fetchone()
    return row == (True,)


def _drop(conn: Connection, possessions: Possessions) -> None:
    tables = sql.SQL(", ").join(table.identifier for table in possessions.tables)
    conn.execute(sql.SQL(queries.load("purge/drop_tables")).format(tables=tables))
    if possessions.functions:
        functions = sql.SQL(", ").join(sql.SQL(each.signature) for each in possessions.functions)
        conn.execute(sql.SQL(queries.load("purge/drop_functions")).format(functions=functions))


def _apply(conn: Connection, file: MigrationFile, applied_count: int) -> None:
    """Run a file with its record, as migrate does, but in the transaction that is open."""
    record(conn, file.name)
    try:
        run_script(conn, file)
    except StatementError as failure:
        raise describe_failure(file, failure, applied_count) from failure.cause
    conn.execute("RELEASE SAVEPOINT aperture_db_guard")
