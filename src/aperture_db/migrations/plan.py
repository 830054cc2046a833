"""What a run would apply, after everything that can be checked beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from aperture_db import extensions
from aperture_db.migrations.checks import check_files, probe_syntax, refuse
from aperture_db.migrations.directory import MigrationDirectory, MigrationFile
from aperture_db.migrations.preconditions import (
    require_free_names,
    require_known_version,
    require_writable_schema,
)
from aperture_db.migrations.status import (
    MigrationStatus,
    collect,
    read_environment,
    refuse_deviations,
)
from aperture_db.postgres.connection import Connection, connection_check_interval, is_pooled
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
    require_writable_schema(environment)
    require_free_names(environment, status)
    _check_files(conn, directory, files)
    _require_extensions(conn, target, files)
    return MigrationPlan(status, files, connection_check_interval(conn))


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
