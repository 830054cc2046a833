"""What must hold before the first file is applied: rights, extensions, a known version."""

from __future__ import annotations

from aperture_db.errors import ApertureDbError
from aperture_db.migrations.status import Environment, MigrationStatus


def require_writable_schema(environment: Environment, user: str) -> None:
    """Raise ApertureDbError when the schema can't be changed through this connection."""
    if environment.is_standby or environment.is_read_only:
        raise ApertureDbError(
            "the database can only be read",
            why="it is a standby"
            if environment.is_standby
            else "default_transaction_read_only is on",
            next_step="connect to the primary server",
            code="read_only",
        )
    if environment.schema is None:
        raise ApertureDbError(
            "there is no schema to create tables in",
            why="no schema of the search_path exists",
            next_step=f'run: ALTER ROLE "{user}" RESET search_path; CREATE SCHEMA public;',
            code="no_schema",
        )
    if not environment.may_create:
        raise ApertureDbError(
            f"user {user} may not create tables",
            why=f"it lacks CREATE on schema {environment.schema}",
            next_step="as the owner of the database run: "
            f'GRANT CREATE ON SCHEMA "{environment.schema}" TO "{user}";',
            code="no_privilege",
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
