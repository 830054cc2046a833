"""What a rebuild starts from: the recorded migrations at hand, and nothing in its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aperture_db import sql as queries
from aperture_db.errors import ApertureDbError
from aperture_db.format import quote_identifier
from aperture_db.migrations.checks import check_files, refuse
from aperture_db.migrations.directory import DIRECTORY_VARIABLE, MigrationDirectory, MigrationFile
from aperture_db.migrations.report import State
from aperture_db.migrations.status import collect, read_environment, require_known_version
from aperture_db.postgres.connection import Connection, is_pooled
from aperture_db.purge.possessions import Possessions, find_possessions

NAMED = 5


@dataclass(frozen=True)
class Rebuildable:
    """A database of which every part can be made again."""

    files: tuple[MigrationFile, ...]
    """Those that are recorded, in the order in which they apply."""
    possessions: Possessions


def require_rebuildable(conn: Connection, directory: MigrationDirectory, role: str) -> Rebuildable:
    """Raise ApertureDbError unless Aperture's part can be dropped and made again as it is."""
    environment = read_environment(conn)
    status = collect(conn, directory, environment)
    require_known_version(status)
    applied = set(status.names(State.APPLIED))
    if unknown := status.names(State.UNKNOWN):
        raise _refused(
            f"{len(unknown)} recorded migrations are not at hand: {_few(unknown)}",
            "a newer Aperture or a branch applied them, and only their files tell how to build "
            "this schema",
            f"export {DIRECTORY_VARIABLE}=DIR with the migrations of that Aperture",
            "migration_not_at_hand",
        )
    if not applied:
        raise _refused(
            "there is nothing to make again",
            "no migration is recorded in this database",
            "aperture-db migrate",
            "no_aperture",
        )
    files = tuple(file for file in directory.files if file.name in applied)
    if outside := [file.name for file in files if not file.in_transaction]:
        raise _refused(
            f"{_few(outside)} can't run within a transaction",
            "all of it has to happen in one transaction, so that a failure loses nothing",
            "make a new database with: aperture-db migrate",
            "not_in_transaction",
        )
    if not directory.is_bundled:
        refuse(check_files(directory, files, pooled=is_pooled(conn)))
    possessions = find_possessions(conn, files)
    _require_rights(possessions, environment.schema, environment.may_create, role)
    _require_independence(conn, possessions)
    return Rebuildable(files, possessions)


def _require_rights(
    possessions: Possessions, schema: str | None, may_create: bool, role: str
) -> None:
    quoted = quote_identifier(role)
    if elsewhere := sorted({t.schema for t in possessions.tables if t.schema != schema}):
        raise _refused(
            f"Aperture's tables are in schema {_few(elsewhere)}, new ones would go to {schema}",
            "the search_path of this connection begins with another schema",
            f"ALTER ROLE {quoted} SET search_path = {quote_identifier(elsewhere[0])};",
            "search_path",
        )
    foreign = [table.identifier.as_string() for table in possessions.tables if not table.is_owner]
    if foreign:
        raise _refused(
            f"role {role} does not own {_few(foreign)}",
            "only the owner can drop a table",
            "connect as the owner or as a superuser",
            "no_privilege",
        )
    if functions := [each.signature for each in possessions.functions if not each.is_owner]:
        raise _refused(
            f"role {role} does not own {_few(functions)}",
            "only the owner can drop a function",
            "connect as the owner or as a superuser",
            "no_privilege",
        )
    if not may_create:
        raise _refused(
            f"role {role} may not create tables",
            f"it lacks CREATE on schema {schema}",
            f"as the owner of the database run: GRANT CREATE ON SCHEMA {schema} TO {quoted};",
            "no_privilege",
        )


def _require_independence(conn: Connection, possessions: Possessions) -> None:
    parameters = {
        "tables": [table.oid for table in possessions.tables],
        "functions": [function.oid for function in possessions.functions],
    }
    rows = conn.execute(queries.load("purge/dependents"), parameters).fetchall()
    if dependents := [str(row[0]) for row in rows]:
        raise _refused(
            f"{_few(dependents)} depend on Aperture's tables",
            "dropping the tables would take along what is not Aperture's",
            "drop them, and make them again afterwards",
            "dependents",
        )


def _few(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _refused(reason: str, why: str, next_step: str, code: str) -> ApertureDbError:
    return ApertureDbError(
        f"everything can't be purged, nothing was changed: {reason}",
        why=why,
        next_step=next_step,
        code=code,
    )
