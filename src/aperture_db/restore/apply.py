"""Replaces the database's contents with a dump, all of it or nothing."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import sql as identifiers

from aperture_db.aperture import MIGRATIONS_TABLE
from aperture_db.backup.create import create
from aperture_db.backup.report import Backup, BackupMade
from aperture_db.dumps import Purpose
from aperture_db.dumps.contents import DumpContents, DumpedTable
from aperture_db.errors import ApertureDbError, BusyError
from aperture_db.format import as_bytes, quote_identifier, shell_command
from aperture_db.postgres.activity import (
    ABORTED,
    COMMITTED,
    BlockerWatch,
    ask_for_status,
    read_timeline,
)
from aperture_db.postgres.catalog import (
    Attachment,
    attach,
    missing,
    read_attachments,
    set_privileges,
)
from aperture_db.postgres.connection import (
    Connection,
    allow_long_transaction,
    connect,
    connection_check_interval,
    require_session,
    set_local,
    timeout_parameter,
)
from aperture_db.postgres.driver_errors import translate_query_error
from aperture_db.postgres.target import Target
from aperture_db.progress import Committed, Committing, Event, Phase, Progress, Warned
from aperture_db.restore.objects import (
    drop_statements,
    find_dependents,
    give_back,
    privileges_on,
    read_objects,
)
from aperture_db.restore.plan import RestorePlan
from aperture_db.restore.plan import plan as make_plan
from aperture_db.restore.report import Restored, RestoreOptions, RestoreReport, SafetyBackupMade
from aperture_db.restore.run import DumpRunner
from aperture_db.restore.server import (
    create_extensions,
    describe_refusal,
    read_sessions,
    terminate_sessions,
)

WITHOUT_SAFETY = (
    "nothing was restored; --no-safety-backup restores without a backup, but then the restore "
    "cannot be undone"
)


def apply(
    target: Target, conn: Connection, plan: RestorePlan, options: RestoreOptions
) -> Generator[Event | SafetyBackupMade | Committing | Committed | Restored, None, None]:
    """Restore a dump as planned; the last event is Restored.

    In one transaction: lock out writers, make the safety backup, drop the old objects, run the
    dump, compare the result with the dump, commit. After any failure, kill -9 included, the
    database is unchanged. Other sessions are terminated first, or refused with BusyError. Locks:
    SHARE ROW EXCLUSIVE, then ACCESS EXCLUSIVE on all tables that are replaced.
    """
    started = time.monotonic()
    require_session(conn, target, "a restore")
    if sessions := read_sessions(conn):
        if not options.terminate_sessions:
            raise describe_refusal(sessions)
        yield Phase("terminating other sessions")
        terminate_sessions(conn, sessions)
    with transaction(target, conn) as outcome:
        _prepare(conn, options)
        _lock(target, conn, plan, "SHARE ROW EXCLUSIVE", options)
        safety = yield from _back_up(target, options)
        _lock(target, conn, plan, "ACCESS EXCLUSIVE", options)
        _require_unchanged(conn, plan)
        outcome.note_begin(conn)
        yield Phase(f"restoring {plan.contents.path.name}")
        row_count = yield from _replace(conn, plan)
        outcome.note_complete(conn)
        yield Committing()
    yield Committed()
    yield from _analyze(conn, plan.tables)
    last_migration = plan.contents.last_migration
    is_behind = (last_migration or "") < (plan.current_migration or "")
    path = safety.path if safety else None
    yield Restored(
        RestoreReport(
            path=plan.contents.path,
            table_count=len(plan.tables),
            row_count=row_count,
            last_migration=last_migration,
            previous_migration=plan.current_migration,
            safety_backup=path,
            is_behind=is_behind,
            undo_command=shell_command("aperture-db", "restore", path, *target.options)
            if path
            else None,
            duration_seconds=time.monotonic() - started,
        )
    )


def restore_into_empty(
    target: Target, conn: Connection, contents: DumpContents, lock_timeout_seconds: float
) -> Generator[Event | SafetyBackupMade | Committing | Committed | Restored, None, None]:
    """Plan and apply a restore into an empty database; the last event is Restored.

    Raises ApertureDbError for a database that is not empty.
    """
    planned = make_plan(conn, contents, lock_timeout_seconds=lock_timeout_seconds)
    if not planned.is_database_empty:
        raise ApertureDbError(
            f"{target.database} is not empty, so nothing was restored",
            why="it holds tables, functions or views",
            next_step="drop them, or name another database",
            code="not_empty",
        )
    options = RestoreOptions(lock_timeout_seconds, None, terminate_sessions=False)
    yield from apply(target, conn, planned, options)


class CommitOutcome:
    """The id of the transaction: it must still be the same at its COMMIT, and tells the outcome
    when the connection is lost."""

    transaction_id = ""
    timeline = ""
    _first_id = ""

    def note_begin(self, conn: Connection) -> None:
        """Read the id before SQL of the dump is run."""
        self._first_id = _read_transaction_id(conn)

    def note_complete(self, conn: Connection) -> None:
        """Compare the id; call it right before the COMMIT. Raises ApertureDbError when the dump
        ended the transaction."""
        if _read_transaction_id(conn) != self._first_id:
            raise ApertureDbError(
                "the dump ended the transaction of the restore",
                why="it contains SQL that is not part of a dump; the database may be half restored",
                next_step="restore the safety backup: aperture-db backup --list",
                code="transaction_ended",
            )
        self.timeline = read_timeline(conn)
        self.transaction_id = self._first_id


def _read_transaction_id(conn: Connection) -> str:
    row = conn.execute("SELECT pg_current_xact_id()::text").fetchone()
    assert row is not None
    return str(row[0])


@contextmanager
def transaction(target: Target, conn: Connection) -> Iterator[CommitOutcome]:
    """One transaction. When the connection is lost during its COMMIT, the server is asked for the
    outcome through another connection; after any other error of the server nothing has changed."""
    outcome = CommitOutcome()
    try:
        with conn.transaction():
            yield outcome
    except psycopg.Error as error:
        if not (outcome.transaction_id and conn.broken):
            told = translate_query_error(error, target, writes=True)
            told.details += ("everything was rolled back, the database is unchanged",)
            raise told from error
        status = ask_for_status(target, outcome.transaction_id, outcome.timeline)
        outcomes = {
            COMMITTED: "the server reports that it was committed: the restore is complete",
            ABORTED: "the server reports that it was rolled back: the database is unchanged",
        }
        raise ApertureDbError(
            "the connection was lost during the commit of the restore",
            why=outcomes.get(status, "the server could not be asked for the outcome"),
            next_step="check the contents: aperture-db stats",
            code="connection_lost",
        ) from error


def _prepare(conn: Connection, options: RestoreOptions) -> None:
    allow_long_transaction(conn)
    set_local(
        conn,
        lock_timeout=timeout_parameter(options.lock_timeout_seconds),
        client_connection_check_interval=connection_check_interval(conn),
    )


def _lock(
    target: Target, conn: Connection, plan: RestorePlan, mode: str, options: RestoreOptions
) -> None:
    """Lock all tables that are replaced. Raises BusyError that names the holder of a lock."""
    tables = [each.identity for each in plan.replacement.replaced if each.kind == "TABLE"]
    if not tables:
        return
    row = conn.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    with BlockerWatch(target, options.lock_timeout_seconds) as watch:
        watch.start(row[0])
        try:
            conn.execute(as_bytes(f"LOCK TABLE {', '.join(tables)} IN {mode} MODE"))
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            holders = watch.stop()
            held = f"held by {holders[0]}" if holders else "its holder could not be seen"
            raise BusyError(
                "timed out waiting for a lock, so nothing was restored",
                why=f"{error.diag.message_primary}; {held}",
                next_step="stop Aperture and other clients of the database, then run again",
                details=tuple(f"held by {holder}" for holder in holders[1:]),
            ) from error


def _back_up(
    target: Target, options: RestoreOptions
) -> Generator[Event | SafetyBackupMade, None, Backup | None]:
    """Make the safety backup through another connection, while writers are locked out."""
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
    """Raise ApertureDbError unless the objects are still those of the confirmed plan."""
    planned = {*plan.replacement.replaced, *plan.replacement.kept}
    tables = [each.oid for each in plan.replacement.replaced_tables]
    if (
        set(read_objects(conn)) != planned
        or find_dependents(conn, plan.replacement.replaced)
        or read_attachments(conn, tables) != plan.attachments.every
    ):
        raise ApertureDbError(
            "the database has changed since the restore was planned",
            why="tables, functions, views, or what belongs to a table were created or dropped; "
            "nothing was restored",
            next_step="make sure that nobody uses the database, then run again",
            code="changed_meanwhile",
        )


def _replace(conn: Connection, plan: RestorePlan) -> Generator[Event, None, int]:
    """Drop the old objects, run the dump, and compare; returns the number of rows."""
    contents = plan.contents
    privileges = privileges_on(conn, plan.replacement.replaced)
    for statement in drop_statements(plan.replacement.replaced):
        conn.execute(as_bytes(statement))
    _create_schemas(conn, plan)
    for name in create_extensions(conn, contents, plan.create_extensions):
        yield Warned(f"the extension {name} could not be created and is left out")
    if plan.owner != plan.server.role:
        conn.execute(as_bytes(f"SET LOCAL ROLE {quote_identifier(plan.owner)}"))
    runner = DumpRunner(conn, contents, plan.filter)
    conn.use_original_search_path()
    yield from runner.run()
    conn.renew_contract()
    yield Phase("comparing")
    require_equal(conn, contents, plan.tables, runner.row_counts)
    restored = read_objects(conn)
    set_privileges(conn, now=privileges_on(conn, restored), wanted=privileges)
    present = read_attachments(conn, [each.oid for each in restored if each.is_table])
    lacking = missing(plan.attachments.kept, present)
    yield from _attach(conn, [each for each in lacking if each.kind != "publication"])
    # A publication may belong to the login, where the tables belong to another role.
    conn.execute("SET LOCAL ROLE NONE")
    for refusal in give_back(conn, restored, plan.replacement.replaced):
        yield Warned(refusal)
    yield from _attach(conn, [each for each in lacking if each.kind == "publication"])
    return sum(runner.row_counts.values())


def _attach(conn: Connection, attachments: Iterable[Attachment]) -> Iterator[Event]:
    for each, reason in attach(conn, attachments):
        yield Warned(f"{each} could not be kept: {reason}; it was: {each.statement}")


def _create_schemas(conn: Connection, plan: RestorePlan) -> None:
    for schema in plan.missing_schemas:
        conn.execute(
            identifiers.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(
                identifiers.Identifier(schema), identifiers.Identifier(plan.owner)
            )
        )


def _analyze(conn: Connection, tables: tuple[DumpedTable, ...]) -> Iterator[Event]:
    """Gather statistics: without them, queries on the new tables are planned badly."""
    yield Phase("gathering statistics")
    for number, table in enumerate(tables):
        yield Progress(f"analyzing {table}", number, len(tables))
        name = identifiers.Identifier(table.schema, table.name)
        try:
            # Index expressions are evaluated, and may need the search_path.
            with conn.transaction(), conn.original_search_path():
                conn.execute(identifiers.SQL("ANALYZE {}").format(name))
        except psycopg.Error as error:
            yield Warned(f"could not analyze {table}: {error.diag.message_primary}")
            if conn.closed:
                return


def require_equal(
    conn: Connection,
    contents: DumpContents,
    tables: tuple[DumpedTable, ...],
    run_counts: Mapping[tuple[str, str], int],
) -> None:
    """Raise ApertureDbError unless each of `tables` has as many rows as in the dump, and all
    migrations of the dump are recorded. `run_counts` are the rows inserted, for tables whose
    number of rows the dump does not tell."""
    for table, found in _count(conn, tables).items():
        expected = table.row_count
        if expected is None:
            expected = run_counts.get(table.key, 0)
        if found != expected:
            raise _different(f"{table} has {found:,} rows, the dump has {expected:,}")
    for table in tables:
        if table.name == MIGRATIONS_TABLE:
            _compare_migrations(conn, table, contents.migrations)


def _count(conn: Connection, tables: tuple[DumpedTable, ...]) -> dict[DumpedTable, int]:
    counts = [
        identifiers.SQL("SELECT {}::int, count(*) FROM ONLY {}").format(
            number, identifiers.Identifier(table.schema, table.name)
        )
        for number, table in enumerate(tables)
    ]
    return {tables[number]: count for number, count in conn.fetch_counts(counts)}


def _compare_migrations(conn: Connection, table: DumpedTable, expected: tuple[str, ...]) -> None:
    query = identifiers.SQL('SELECT name FROM {} ORDER BY name COLLATE "C"').format(
        identifiers.Identifier(table.schema, table.name)
    )
    found = tuple(row[0] for row in conn.execute(query))
    if set(expected) - set(found):
        missing = ", ".join(sorted(set(expected) - set(found)))
        raise _different(f"recorded migrations are missing: {missing}")


def _different(why: str) -> ApertureDbError:
    return ApertureDbError(
        "the restored contents differ from the dump",
        why=f"{why}; everything was rolled back, the database is unchanged",
        next_step="run again; if it fails again, report the output of -vv",
        code="restore_differs",
    )
