"""What must hold before the first file is applied: rights, extensions, a known version."""

from __future__ import annotations

from aperture_db.errors import ApertureDbError
from aperture_db.format import quote_identifier
from aperture_db.migrations.status import Environment, MigrationStatus, State


def require_writable_schema(environment: Environment) -> None:
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


def require_free_names(environment: Environment, status: MigrationStatus) -> None:
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
