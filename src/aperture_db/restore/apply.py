"""Replaces what the database holds by a dump, all of it or nothing."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator

import psycopg
from psycopg import sql as identifiers

from aperture_db.backup.create import Backup, BackupMade, create
from aperture_db.backup.snapshot import allow_long_transaction
from aperture_db.dumps.contents import DumpedTable
from aperture_db.dumps.files import Purpose
from aperture_db.errors import ApertureDbError, BusyError
from aperture_db.format import quote_identifier
from aperture_db.postgres.activity import BlockerWatch
from aperture_db.postgres.connection import (
    Connection,
    connect,
    connection_check_interval,
    require_session,
    set_local,
    timeout_parameter,
)
from aperture_db.postgres.privileges import set_privileges
from aperture_db.postgres.target import Target
from aperture_db.progress import Event, Phase, Progress, Warned
from aperture_db.restore.compare import require_equal
from aperture_db.restore.extensions import create_extensions
from aperture_db.restore.objects import (
    drop_statements,
    find_dependents,
    privileges_on,
    read_objects,
)
from aperture_db.restore.outcome import transaction
from aperture_db.restore.plan import RestorePlan
from aperture_db.restore.report import (
    Committed,
    Committing,
    Options,
    Restored,
    RestoreReport,
    SafetyBackupMade,
)
from aperture_db.restore.run import DumpRunner
from aperture_db.restore.selection import make_selection
from aperture_db.restore.sessions import describe_refusal, read_sessions, terminate_sessions

WITHOUT_SAFETY = (
    "so nothing was restored; --no-safety-backup restores without that backup, and then nothing "
    "can undo the restore"
)


def apply(
    target: Target, conn: Connection, plan: RestorePlan, options: Options
) -> Generator[Event | SafetyBackupMade | Committing | Committed | Restored, None, None]:
    """Carry a plan out; the last event is Restored.

    One transaction: writers are locked out, what is there is backed up, dropped and made anew
    from the dump, and compared with it; only then does it commit. Whatever fails before, the end
    of this process included, leaves the database as it was. Other sessions are ended first, or
    refused with BusyError. Locks: SHARE ROW EXCLUSIVE, then ACCESS EXCLUSIVE on everything that
    is replaced.
    """
    started = time.monotonic()
    require_session(conn, target, "a restore")
    if sessions := read_sessions(conn):
        if not options.terminate_sessions:
            raise describe_refusal(sessions)
        yield Phase("ending other sessions")
        terminate_sessions(conn, sessions)
    with transaction(target, conn) as outcome:
        _prepare(conn, options)
        _lock(target, conn, plan, "SHARE ROW EXCLUSIVE", options)
        safety = yield from _back_up(target, options)
        _lock(target, conn, plan, "ACCESS EXCLUSIVE", options)
        _require_unchanged(conn, plan)
        yield Phase(f"restoring {plan.contents.path.name}")
        row_count = yield from _replace(conn, plan)
        outcome.note_complete(conn)
        yield Committing()
    yield Committed()
    yield from _analyze(conn, plan.tables)
    path = safety.path if safety else None
    yield Restored(
        RestoreReport(
            path=plan.contents.path,
            table_count=len(plan.tables),
            row_count=row_count,
            last_migration=plan.contents.last_migration,
            previous_migration=plan.current_migration,
            safety_backup=path,
            undo_command=target.command_line("restore", str(path)) if path else None,
            duration_seconds=time.monotonic() - started,
        )
    )


def _prepare(conn: Connection, options: Options) -> None:
    allow_long_transaction(conn)
    set_local(
        conn,
        lock_timeout=timeout_parameter(options.lock_timeout_seconds),
        client_connection_check_interval=connection_check_interval(conn),
    )


def _lock(target: Target, conn: Connection, plan: RestorePlan, mode: str, options: Options) -> None:
    """Lock all tables that are replaced. Raises BusyError naming who is in the way."""
    tables = [each.identity for each in plan.division.replaced if each.kind == "TABLE"]
    if not tables:
        return
    row = conn.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    with BlockerWatch(target, options.lock_timeout_seconds) as watch:
        watch.start(row[0])
        try:
            conn.execute(f"LOCK TABLE {', '.join(tables)} IN {mode} MODE".encode())
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            holders = watch.stop()
            held = f"held by {holders[0]}" if holders else "its holder could not be seen"
            raise BusyError(
                "a table is in use, so nothing was restored",
                why=f"{error.diag.message_primary}; {held}",
                next_step="stop Aperture and whatever else works with the database, then run again",
                details=tuple(f"held by {holder}" for holder in holders[1:]),
            ) from error


def _back_up(
    target: Target, options: Options
) -> Generator[Event | SafetyBackupMade, None, Backup | None]:
    """Save what is there through a connection of its own: no writer can come in between."""
    if options.safety_directory is None:
        return None
    try:
        with connect(target) as other:
            for event in create(
                target, other, options.safety_directory, purpose=Purpose.BEFORE_RESTORE
            ):
                if isinstance(event, BackupMade):
                    yield SafetyBackupMade(event.backup)
                    return event.backup
                yield event
    except ApertureDbError as error:
        error.details += (WITHOUT_SAFETY,)
        raise
    return None


def _require_unchanged(conn: Connection, plan: RestorePlan) -> None:
    """What was shown and confirmed must still be what is there."""
    planned = {*plan.division.replaced, *plan.division.kept}
    if set(read_objects(conn)) != planned or find_dependents(conn, plan.division.replaced):
        raise ApertureDbError(
            "the database has changed since the restore was planned",
            why="tables, functions or views have come or gone meanwhile; nothing was restored",
            next_step="make sure that nobody works with the database, then run again",
            code="changed_meanwhile",
        )


def _replace(conn: Connection, plan: RestorePlan) -> Generator[Event, None, int]:
    """Drop what gives way, run the dump, compare; returns the rows that went in."""
    contents = plan.contents
    privileges = privileges_on(conn, plan.division.replaced)
    search_path = _read_search_path(conn)
    for statement in drop_statements(plan.division.replaced):
        conn.execute(statement.encode())
    _create_schemas(conn, plan)
    for name in create_extensions(conn, contents, plan.create_extensions):
        yield Warned(f"the extension {name} could not be installed and is left out")
    if plan.owner != plan.server.role:
        conn.execute(f"SET LOCAL ROLE {quote_identifier(plan.owner)}".encode())
    runner = DumpRunner(conn, contents, make_selection(contents, plan.division.left_out_schemas))
    yield from runner.run()
    yield Phase("comparing")
    require_equal(conn, contents, plan.tables, runner.row_counts)
    set_privileges(conn, now=privileges_on(conn, read_objects(conn)), wanted=privileges)
    set_local(conn, search_path=search_path)
    return sum(runner.row_counts.values())


def _create_schemas(conn: Connection, plan: RestorePlan) -> None:
    for schema in plan.missing_schemas:
        conn.execute(
            identifiers.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(
                identifiers.Identifier(schema), identifiers.Identifier(plan.owner)
            )
        )


def _read_search_path(conn: Connection) -> str:
    row = conn.execute("SELECT current_setting('search_path')").fetchone()
    assert row is not None
    return str(row[0])


def _analyze(conn: Connection, tables: tuple[DumpedTable, ...]) -> Iterator[Event]:
    """New tables have no statistics, and queries on them are planned badly until they do."""
    yield Phase("gathering statistics")
    for number, table in enumerate(tables):
        yield Progress(f"analyzing {table}", number, len(tables))
        name = identifiers.Identifier(table.schema, table.name)
        try:
            conn.execute(identifiers.SQL("ANALYZE {}").format(name))
        except psycopg.Error as error:
            yield Warned(
                f"statistics of {table} could not be gathered: {error.diag.message_primary}"
            )
            return
