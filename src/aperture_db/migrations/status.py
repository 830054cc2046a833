"""Which migrations are applied and which are pending. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg.rows import args_row, class_row

from aperture_db import sql
from aperture_db.aperture.tables import is_aperture
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.format import quote_identifier
from aperture_db.migrations.directory import MigrationDirectory
from aperture_db.migrations.report import Migration, MigrationStatus, State
from aperture_db.postgres.session import Connection


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
    is_public_closed: bool
    """The schema public is in the search_path, and the role may not enter it."""
    may_create: bool
    is_tracked: bool
    records_owner: str | None
    may_record: bool
    """INSERT and, for the lock, UPDATE on aperture_migrations, as far as it is there."""
    aperture_tables: list[str]
    """Those of Aperture's first tables that are in the schema."""


def read_environment(conn: Connection) -> Environment:
    """Ask for what decides whether migrations can be applied."""
    cursor = conn.cursor(row_factory=class_row(Environment))
    path = conn.original_path
    environment = cursor.execute(
        sql.compose("migrations/environment"),
        {"schema": next(iter(path.schemas), None), "search_path": path.setting},
    ).fetchone()
    assert environment is not None
    return environment


def collect(
    conn: Connection, directory: MigrationDirectory, environment: Environment | None = None
) -> MigrationStatus:
    """Compare the records with the files. Needs SELECT on aperture_migrations if it exists.

    `environment` saves asking for it again.
    """
    environment = environment or read_environment(conn)
    _require_open_schema(environment)
    records: list[_Record] = []
    if environment.is_tracked:
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


def _require_open_schema(environment: Environment) -> None:
    """Raise ApertureDbError where the records may be in a schema that the role can't enter."""
    if environment.schema is None and environment.is_public_closed:
        role = quote_identifier(environment.role)
        raise ApertureDbError(
            "cannot tell which migrations are applied",
            why=f"role {environment.role} lacks USAGE on schema public",
            next_step="as the owner or a superuser run: "
            f"GRANT USAGE ON SCHEMA public TO {role}; "
            f"GRANT SELECT ON aperture_migrations TO {role};",
            code="no_privilege",
        )


def _read_records(conn: Connection) -> list[_Record]:
    cursor = conn.cursor(row_factory=args_row(_Record))
    try:
        return cursor.execute(sql.compose("migrations/records")).fetchall()
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
            f"recorded, but not in the {status.directory} directory: {', '.join(unknown)} "
            "(a newer Aperture, or a development branch, applied them)"
        )
    if late := status.late:
        sentences.append(f"pending, but older than an applied one: {', '.join(late)}")
    return tuple(sentences)


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
