"""Restores a backup into a scratch database, compares it, and drops the database again.

The real database is only read, and gets the record of the drill in our own schema.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

import psycopg
from psycopg import sql as identifiers

from aperture_db import sql
from aperture_db.aperture.schema import OWN_SCHEMA
from aperture_db.backup.settings import record_in_own_schema
from aperture_db.dumps.contents import DumpContents
from aperture_db.errors import ApertureDbError
from aperture_db.format import quote_identifier
from aperture_db.postgres.activity import settle_commits
from aperture_db.postgres.connection import connect, set_local, translated_errors
from aperture_db.postgres.driver_errors import translate_query_error
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target
from aperture_db.progress import Event, Phase, Warned
from aperture_db.restore.report import DrillReport, Restored, RestoreReport

Restoring: TypeAlias = Callable[
    [Target, Connection, DumpContents, float], Generator[object, None, None]
]
"""apply.restore_into_empty: the same restore as any other."""
Checking: TypeAlias = Callable[[Target, RestoreReport], tuple[str, ...]]
"""Runs the final checks of a restore in a database; returns what they found."""
PREFIX = "aperture_db_drill_"


@dataclass(frozen=True)
class Drill:
    """What a drill is to do."""

    contents: DumpContents
    live: Target
    """The real database. Read for a comparison, never changed but for the record."""
    server: Target
    """A database of the server that gets the scratch database; by default the real one."""
    is_newest: bool
    """The newest backup of its directory: it is compared with the real database."""
    lock_timeout_seconds: float


@dataclass(frozen=True)
class DrillFinished:
    """The backup was restored and compared, and the scratch database is dropped."""

    report: DrillReport


def run_drill(
    drill: Drill, restore: Restoring, check: Checking
) -> Generator[Event | DrillFinished, None, None]:
    """Restore the backup with `restore` into a new database, let `check` look at it, and drop it;
    the last event is DrillFinished.

    Needs CREATEDB. Raises what a restore raises; a failure is recorded, too. The database is
    dropped after every failure; only kill -9 leaves it, and the next drill names it.
    """
    started = time.monotonic()
    yield from _name_leftovers(drill)
    _require_createdb(drill)
    name = PREFIX + secrets.token_hex(6)
    scratch = replace(drill.server, params={**drill.server.params, "dbname": name})
    try:
        with _scratch_database(drill, name):
            yield Phase(f"restoring {drill.contents.path.name} into the scratch database {name}")
            restored = yield from _restore(drill, scratch, restore)
            yield Phase("checking what was restored")
            findings = check(scratch, restored)
            size_bytes = _database_size(scratch)
            differences = yield from _compare(drill, scratch, restored)
            yield Phase(f"dropping {name}")
    except ApertureDbError as error:
        yield from _record(drill, started, f"{error.what}: {error.why}")
        raise
    recorded = yield from _record(drill, started, None)
    yield DrillFinished(
        DrillReport(
            path=drill.contents.path,
            made_at=drill.contents.made_at,
            size_bytes=drill.contents.size_bytes,
            scratch_database=name,
            database_bytes=size_bytes,
            table_count=restored.table_count,
            row_count=restored.row_count,
            last_migration=restored.last_migration,
            is_compared_with_live=differences is not None,
            differences=differences or (),
            findings=findings,
            restore_seconds=restored.duration_seconds,
            duration_seconds=time.monotonic() - started,
            is_recorded=recorded,
        )
    )


def _name_leftovers(drill: Drill) -> Iterator[Event]:
    """Scratch databases that no session uses: their drills were killed."""
    with _connected(drill.server) as conn:
        found = conn.execute(sql.load("restore/leftover_databases"), {"prefix": PREFIX}).fetchall()
    for (name,) in found:
        yield Warned(
            f"a drill that was killed left the database {name}; drop it: "
            f"DROP DATABASE {quote_identifier(name)};"
        )


def _require_createdb(drill: Drill) -> None:
    with _connected(drill.server) as conn:
        row = conn.execute(sql.load("restore/may_create_databases")).fetchone()
    assert row is not None
    role, may_create = row
    if not may_create:
        raise ApertureDbError(
            f"user {role} may not create the scratch database of a drill",
            why="it has no CREATEDB",
            next_step=(
                f"a superuser can give it: ALTER ROLE {quote_identifier(role)} CREATEDB;",
                "or choose another server: aperture-db restore --drill --into URL",
            ),
            code="no_privilege",
        )


@contextmanager
def _scratch_database(drill: Drill, name: str) -> Iterator[None]:
    """An empty database with the encoding, the locale and the search_path of the real one, dropped
    after the block."""
    identifier = identifiers.Identifier(name)
    with _connected(drill.live) as conn:
        row = conn.execute(sql.load("restore/locale")).fetchone()
        path = conn.original_path.setting
    assert row is not None
    encoding, collation, character_type = row
    create = identifiers.SQL(
        "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}"
    ).format(identifier, encoding, collation, character_type)
    with _connected(drill.server) as conn:
        conn.execute_alone(create)
    try:
        with _connected(drill.server) as conn, conn.transaction():
            # A dump does not contain it, and extensions may only be reachable through it.
            set_local(conn, search_path=path)
            alter = identifiers.SQL("ALTER DATABASE {} SET search_path FROM CURRENT")
            conn.execute(alter.format(identifier))
        yield
    finally:
        try:
            with _connected(drill.server) as conn:
                drop = identifiers.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
                conn.execute_alone(drop.format(identifier))
        except ApertureDbError as error:
            raise ApertureDbError(
                f"the scratch database {name} of the drill is left",
                why=error.why,
                next_step=f"DROP DATABASE {quote_identifier(name)};",
                code="drill_leftover",
            ) from error


def _restore(
    drill: Drill, scratch: Target, restore: Restoring
) -> Generator[Event, None, RestoreReport]:
    """Restore as any restore does, into what is surely the new and empty database."""
    with _connected(scratch) as conn:
        _require_scratch(conn, scratch)
        events = restore(scratch, conn, drill.contents, drill.lock_timeout_seconds)
        try:
            with closing(events):
                for event in events:
                    if isinstance(event, Restored):
                        return event.report
                    if isinstance(event, Event):
                        yield event
        except ApertureDbError as error:
            if isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
                # A superuser has created them in the database; the scratch database is new.
                error.next_steps = ("as a superuser: aperture-db restore --drill --into URL",)
            raise
    raise AssertionError("a restore ends with its report")


def _require_scratch(conn: Connection, scratch: Target) -> None:
    """A pooler may lead every name to one and the same database."""
    row = conn.execute("SELECT pg_catalog.current_database()").fetchone()
    if row != (scratch.database,):
        raise _wrong_database(scratch)


def _wrong_database(scratch: Target) -> ApertureDbError:
    return ApertureDbError(
        "the connection does not lead to the scratch database, so nothing was restored",
        why=f"a pooler or proxy connected {scratch.database} to another database",
        next_step="connect to the server directly: aperture-db restore --drill --into URL",
        code="not_the_scratch_database",
    )


def _database_size(scratch: Target) -> int:
    with _connected(scratch) as conn:
        row = conn.execute(
            "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())"
        ).fetchone()
    assert row is not None
    return int(row[0])


def _compare(
    drill: Drill, scratch: Target, restored: RestoreReport
) -> Generator[Event, None, tuple[str, ...] | None]:
    """The differences between the restored and the real structure; None where the backup is not
    the newest, or the real database has been migrated since."""
    if not drill.is_newest:
        return None
    yield Phase("comparing the structure with the database's")
    # The tool itself makes tables between a backup and its drill.
    schemas = sorted({table.schema for table in drill.contents.tables} - {OWN_SCHEMA})
    with _connected(drill.live) as conn:
        live = _read_structure(conn, schemas)
        migration = _last_migration(conn)
    if migration != restored.last_migration:
        return None
    with _connected(scratch) as conn:
        copy = _read_structure(conn, schemas)
    differing = {key for key in live.keys() | copy.keys() if live.get(key) != copy.get(key)}
    differences = []
    for kind, name in sorted(differing):
        where = "differs"
        if (kind, name) not in copy:
            where = "is not in the backup"
        elif (kind, name) not in live:
            where = "is in the backup only"
        differences.append(f"{kind} {name} {where}")
    return tuple(differences)


def _read_structure(conn: Connection, schemas: Collection[str]) -> dict[tuple[str, str], str]:
    with conn.transaction():
        # Names in definitions are written with their schema where the path does not find them.
        set_local(conn, search_path="pg_catalog")
        rows = conn.execute(sql.load("restore/structure"), {"schemas": list(schemas)})
        return {(kind, name): definition for kind, name, definition in rows}


def _last_migration(conn: Connection) -> str | None:
    try:
        row = conn.execute(sql.compose("restore/last_migration")).fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return row[0] if row else None


def _record(drill: Drill, started: float, failure: str | None) -> Generator[Event, None, bool]:
    """Record the drill in aperture_db.drills. Without the privilege that is a warning."""
    values = {
        "directory": str(drill.contents.path.parent),
        "file_name": drill.contents.path.name,
        "backup_made_at": drill.contents.made_at,
        "duration_seconds": time.monotonic() - started,
        "failure": drill.live.redact(failure) if failure else None,
    }
    try:
        with connect(drill.live) as conn:
            settle_commits(conn, drill.live)
            record_in_own_schema(conn, "drills", sql.load("backup/insert_drill"), values)
    except psycopg.Error as error:
        reason = translate_query_error(error, drill.live, writes=True).why
        yield Warned(f"the drill was not recorded, so health does not know of it: {reason}")
        return False
    except ApertureDbError as error:
        yield Warned(f"the drill was not recorded, so health does not know of it: {error.why}")
        return False
    return True


@contextmanager
def _connected(target: Target) -> Iterator[Connection]:
    with translated_errors(target), connect(target) as conn:
        yield conn
