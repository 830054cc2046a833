"""What a run would apply, after everything that can be checked beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from aperture_db.errors import ApertureDbError
from aperture_db.extensions import collect as extensions
from aperture_db.format import quote_identifier
from aperture_db.migrations.checks import check_files, probe_syntax, refuse
from aperture_db.migrations.directory import MigrationDirectory, MigrationFile
from aperture_db.migrations.report import MigrationStatus, State
from aperture_db.migrations.status import (
    Environment,
    collect,
    read_environment,
    refuse_deviations,
    require_known_version,
)
from aperture_db.postgres.connection import connection_check_interval, is_pooled
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target


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
    _require_writable_schema(environment)
    _require_free_names(environment, status)
    _check_files(conn, directory, files)
    _require_extensions(conn, target, files)
    return MigrationPlan(status, files, connection_check_interval(conn))


def _require_writable_schema(environment: Environment) -> None:
    """Raise ApertureDbError when the schema can't be changed through this connection."""
    role, schema = environment.role, environment.schema
    if environment.is_standby or environment.is_read_only:
        raise ApertureDbError(
            "the database is read-only",
            why="it is a standby"
            if environment.is_standby
            else "default_transaction_read_only is on",
            next_step="connect to the primary server",
            code="read_only",
        )
    if schema is None:
        raise ApertureDbError(
            "there is no schema to create tables in",
            why=f"search_path is {environment.search_path}, and none of that exists",
            next_step="create such a schema, or make search_path the default again: "
            f"ALTER ROLE {quote_identifier(role)} RESET search_path; "
            "ALTER DATABASE … RESET search_path;",
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


def _require_free_names(environment: Environment, status: MigrationStatus) -> None:
    """Raise ApertureDbError for tables of somebody else that have the names of Aperture's."""
    is_recorded = any(migration.state is not State.PENDING for migration in status.migrations)
    if environment.aperture_tables and not is_recorded:
        raise ApertureDbError(
            "this is not Aperture's database, and it has tables in the way",
            why=f"schema {environment.schema} has {', '.join(environment.aperture_tables)}, "
            "and no migration is recorded",
            next_step="give Aperture a database of its own: CREATE DATABASE aperture;",
            code="names_in_use",
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
