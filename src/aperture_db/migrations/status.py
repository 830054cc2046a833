"""Which migrations are applied and which are pending, and what a run would apply, after everything
that can be checked beforehand. Reads only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg.rows import args_row, class_row
from psycopg.sql import Literal

from aperture_db import sql
from aperture_db.aperture.schema import locate
from aperture_db.aperture.tables import MIGRATIONS_TABLE, is_aperture
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.extensions import collect as extensions
from aperture_db.format import list_some, plural, quote_identifier
from aperture_db.migrations import Migration, MigrationStatus, State
from aperture_db.migrations.directory import (
    MigrationDirectory,
    MigrationFile,
    check_files,
    probe_syntax,
    refuse,
)
from aperture_db.migrations.names import find_clashes
from aperture_db.postgres.catalog import read_tables, require_all_rows
from aperture_db.postgres.connection import connection_check_interval, is_pooled
from aperture_db.postgres.driver_errors import read_only_error
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target

MOST_NAMED = 3
NEWER_THAN_RECORDS = (
    "the schema is newer than its records, as after restoring an older dump over it: restore a "
    "backup into an emptied database, or record what is there with "
    "aperture-db migrate --mark-applied NAME"
)


class _Record(NamedTuple):
    name: str
    applied_at: datetime | None


@dataclass(frozen=True)
class Environment:
    """What the connection's role and schema allow."""

    role: str
    is_standby: bool
    is_read_only: bool
    schema: str | None
    """Where tables are created; None when the role may enter no schema of the search_path."""
    search_path: str
    is_closed: bool
    """The role may not enter the schema in which Aperture's tables are."""
    may_create: bool
    is_tracked: bool
    hides_records: bool
    """Row-level security applies to the role on aperture_migrations."""
    records_owner: str | None
    may_record: bool
    """INSERT and, for the lock, UPDATE on aperture_migrations, as far as it is there."""
    aperture_tables: list[str]
    """Those of Aperture's first tables that are in the schema."""


def read_environment(conn: Connection) -> Environment:
    """Ask for what decides whether migrations can be applied."""
    path = conn.original_path
    query = sql.compose(
        "migrations/environment",
        creation_schema=Literal(path.creation_schema),
        search_path=path.setting,
    )
    environment = conn.ask(query, class_row(Environment)).fetchone()
    assert environment is not None
    return environment


def collect(
    conn: Connection, directory: MigrationDirectory, environment: Environment | None = None
) -> MigrationStatus:
    """Compare the records with the files. Needs SELECT on aperture_migrations if it exists.

    `environment` saves asking for it again.
    """
    environment = environment or read_environment(conn)
    _require_open_schema(conn, environment)
    records: list[_Record] = []
    if environment.is_tracked:
        if environment.hides_records:
            tables = [t for t in read_tables(conn) if t.is_visible and t.name == MIGRATIONS_TABLE]
            require_all_rows(conn, tables, "cannot tell which migrations are applied")
        records = _read_records(conn)
    applied = {record.name: record.applied_at for record in records}
    names = sorted({*applied, *directory.names})
    known = set(directory.names)
    migrations = tuple(
        Migration(
            name,
            State.PENDING
            if name not in applied
            else State.APPLIED
            if name in known
            else State.UNKNOWN,
            applied.get(name),
        )
        for name in names
    )
    return MigrationStatus(
        directory="bundled" if directory.is_bundled else str(directory.path),
        migrations=migrations,
        is_tracked=environment.is_tracked,
        has_untracked_schema=not records and is_aperture(environment.aperture_tables),
    )


def require_location(conn: Connection, *, creates: bool = False) -> None:
    """Raise UsageError when Aperture is in two schemas, in one that the search_path does not
    find, or, with `creates`, in another one than that in which tables are created."""
    if trouble := locate(conn).find_trouble(creates=creates):
        raise trouble


def _require_open_schema(conn: Connection, environment: Environment) -> None:
    """Raise ApertureDbError where the records are in a schema that the role can't enter."""
    if environment.is_closed and (environment.is_tracked or environment.aperture_tables):
        role, schema = quote_identifier(environment.role), quote_identifier(conn.schema)
        raise ApertureDbError(
            "cannot tell which migrations are applied",
            why=f"role {environment.role} lacks USAGE on schema {conn.schema}",
            next_step="as the owner or a superuser run: "
            f"GRANT USAGE ON SCHEMA {schema} TO {role}; "
            f"GRANT SELECT ON {schema}.aperture_migrations TO {role};",
            code="no_privilege",
        )


def _read_records(conn: Connection) -> list[_Record]:
    try:
        return conn.ask(sql.compose("migrations/records"), args_row(_Record)).fetchall()
    except psycopg.errors.UndefinedColumn as error:
        raise ApertureDbError(
            "the table aperture_migrations is not Aperture's",
            why=str(error.diag.message_primary),
            next_step="check that this is the database you mean: its table has other columns",
            code="foreign_tracking_table",
        ) from error


def describe_deviations(status: MigrationStatus) -> tuple[str, ...]:
    """What is unusual about the records, one sentence each; tolerated unless --strict."""
    sentences = []
    if unknown := status.names(State.UNKNOWN):
        sentences.append(
            f"{plural(len(unknown), 'record')} without a file here ({_range(unknown)}): "
            "a newer Aperture, or a development branch, applied them"
        )
    if late := status.late:
        sentences.append(f"pending, but older than an applied one: {_range(late)}")
    return tuple(sentences)


def _range(names: Sequence[str]) -> str:
    """The names of a few, the numbers of the first and last of many."""
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    first, last = (name.partition("_")[0] for name in (names[0], names[-1]))
    return f"{first} … {last}"


def refuse_deviations(status: MigrationStatus) -> None:
    """With --strict: raise UsageError for what `describe_deviations` tells."""
    if sentences := describe_deviations(status):
        raise UsageError(
            "the records do not match the migration files",
            why="; ".join(sentences),
            next_step="use the migration files of the Aperture that made this database, "
            "or leave out --strict",
            code="strict",
        )


def require_known_version(status: MigrationStatus) -> None:
    """Raise ApertureDbError for Aperture's tables without any record of how they came about."""
    if status.has_untracked_schema:
        raise ApertureDbError(
            "Aperture's tables are there, but no migration is recorded",
            why="this is the schema of a previous installation, or a restore left out "
            "aperture_migrations; applying the first files again would fail",
            next_step="restore a whole backup, or, when you know which file was the last one: "
            "aperture-db migrate --mark-applied NAME",
            code="untracked_schema",
        )


@dataclass(frozen=True)
class MigrationPlan:
    """The files that a run applies, in order, and the status before it."""

    status: MigrationStatus
    files: tuple[MigrationFile, ...]
    connection_check_interval: str = field(default="0", metadata={"json": False})

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(file.name for file in self.files)


def plan(
    conn: Connection,
    target: Target,
    directory: MigrationDirectory,
    *,
    last_name: str | None = None,
    strict: bool = False,
) -> MigrationPlan:
    """Find what is pending, up to `last_name`, and check all of it. Writes nothing.

    Raises UsageError for files that can't be applied, FindingError for an extension that is
    missing, and ApertureDbError for missing rights or a schema of unknown version.
    """
    require_location(conn)
    environment = read_environment(conn)
    status = collect(conn, directory, environment)
    if strict:
        refuse_deviations(status)
    require_known_version(status)
    pending = set(status.pending)
    files = tuple(
        file
        for file in directory.files
        if file.name in pending and (last_name is None or file.name <= last_name)
    )
    if not files:
        return MigrationPlan(status, files)
    _require_writable_schema(conn, environment)
    _check_files(conn, directory, files)
    _require_free_names(conn, directory, environment, status, files)
    _require_extensions(conn, target, files)
    return MigrationPlan(status, files, connection_check_interval(conn))


def _require_writable_schema(conn: Connection, environment: Environment) -> None:
    """Raise ApertureDbError when the schema can't be changed through this connection."""
    role, schema = environment.role, environment.schema
    is_read_only = environment.is_standby or environment.is_read_only
    if is_read_only and (refusal := read_only_error(conn)):
        raise refusal
    require_location(conn, creates=True)
    if schema is None:
        raise ApertureDbError(
            "there is no schema to create tables in",
            why=f"search_path is {environment.search_path}, and none of that exists",
            next_step=locate(conn).advise_path(),
            code="no_schema",
        )
    if not environment.may_create:
        raise ApertureDbError(
            f"role {role} may not create tables",
            why=f"it lacks CREATE on schema {schema}",
            next_step="as the owner of the database run: "
            f"GRANT CREATE ON SCHEMA {quote_identifier(schema)} TO {quote_identifier(role)};",
            code="no_privilege",
        )
    if not environment.may_record:
        raise ApertureDbError(
            f"role {role} may not record migrations",
            why="it lacks INSERT or UPDATE on aperture_migrations, "
            f"which belongs to {environment.records_owner}",
            next_step=f"connect as {environment.records_owner}: most migrations need the owner "
            "of Aperture's tables",
            code="no_privilege",
        )


def _require_free_names(
    conn: Connection,
    directory: MigrationDirectory,
    environment: Environment,
    status: MigrationStatus,
    files: Sequence[MigrationFile],
) -> None:
    """Raise ApertureDbError for objects of somebody else that have the names of Aperture's."""
    applied, pending = set(status.names(State.APPLIED)), set(status.pending)
    is_recorded = len(pending) < len(status.migrations)
    clashes = find_clashes(
        conn,
        [file for file in directory.files if file.name in applied],
        files if is_recorded else [file for file in directory.files if file.name in pending],
        is_recorded=is_recorded,
        is_tracked=environment.is_tracked,
    )
    if clashes and collect(conn, directory) != status:
        # Another runner is at work, and what it has made meanwhile is Aperture's: the table of
        # records, before there is a record.
        return
    names = dict.fromkeys(str(clash.taken) for clash in clashes)
    if not is_recorded and (names or environment.aperture_tables):
        tables = sorted({*environment.aperture_tables, *names})
        kind = "tables" if all(clash.taken.kind == "table" for clash in clashes) else "objects"
        raise ApertureDbError(
            f"this is not Aperture's database, and it has {kind} in the way",
            why=f"schema {conn.schema} has {list_some(tables)}, and no migration is recorded",
            next_step="give Aperture a database of its own: CREATE DATABASE aperture;",
            code="names_in_use",
        )
    if clashes and clashes[0].is_same:
        first = clashes[0]
        raise ApertureDbError(
            f"migration {first.file} failed before it was run: {first.taken} is there already",
            why="it has what the file would create, and the file is not recorded as applied",
            next_step=NEWER_THAN_RECORDS,
            code="names_in_use",
        )
    if clashes:
        why, *details = (f"{clash.file} creates {clash.taken}" for clash in clashes)
        raise ApertureDbError(
            "pending migrations create what is there already",
            why=f"{why}, and schema {conn.schema} has that",
            next_step=f"rename or drop what is not Aperture's; or {NEWER_THAN_RECORDS}",
            code="names_in_use",
            details=tuple(details),
        )


def _check_files(
    conn: Connection, directory: MigrationDirectory, files: Sequence[MigrationFile]
) -> None:
    """Check what can be wrong with foreign files; a test does it for the bundled ones."""
    if not directory.is_bundled:
        refuse(check_files(directory, files, pooled=is_pooled(conn)))
        probes = (probe_syntax(conn, file) for file in files)
        refuse([finding for finding in probes if finding])


def _require_extensions(conn: Connection, target: Target, files: Sequence[MigrationFile]) -> None:
    """Raise FindingError when an extension that the files create is not to be had, or one that
    is there is too old for them."""
    wanted = frozenset[str]().union(*(file.created_extensions for file in files))
    report = extensions.collect(conn, target.host)
    blocking = [
        extension
        for extension in report.blocking_migrations
        if extension.installed_version is not None or extension.name in wanted
    ]
    if blocking:
        raise extensions.finding(report, blocking)
