"""Compares the extensions that Aperture needs with what a server and a database have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.extensions.advice import advise
from aperture_db.extensions.report import Extension, ExtensionsReport, ExtensionState, Server
from aperture_db.extensions.requirements import REQUIREMENTS, Requirement, is_older
from aperture_db.postgres.connection import Connection
from aperture_db.postgres.hosting import ADMIN_ROLES, MARKER_ROLES, recognize


@dataclass(frozen=True)
class ServerRow:
    """A row of extensions/server.sql."""

    version_text: str
    version: str
    version_number: int
    cluster_name: str
    database: str
    role: str
    is_standby: bool
    is_superuser: bool
    may_create_in_database: bool
    known_roles: list[str]
    held_roles: list[str]


@dataclass(frozen=True)
class InstalledRow:
    """A row of extensions/installed.sql."""

    name: str
    installed_version: str | None
    available_version: str | None
    schema: str | None
    is_on_search_path: bool
    is_owned: bool
    needs_superuser: bool
    is_trusted: bool


def collect(
    conn: Connection, host: str, requirements: Iterable[Requirement] = REQUIREMENTS
) -> ExtensionsReport:
    """State and advice for every required extension.

    `host` is what the client connected to; the advice depends on it. Needs no privilege, writes
    nothing, and works on a standby.
    """
    wanted = {requirement.name: requirement for requirement in requirements}
    server = _read_server(conn, host)
    with conn.cursor(row_factory=class_row(InstalledRow)) as cursor:
        cursor.execute(sql.load("extensions/installed"), {"names": list(wanted)})
        extensions = tuple(judge(row, wanted[row.name], server) for row in cursor)
    return ExtensionsReport(server, extensions, advise(server, extensions))


def _read_server(conn: Connection, host: str) -> Server:
    known_roles = list({*MARKER_ROLES, *ADMIN_ROLES})
    with conn.cursor(row_factory=class_row(ServerRow)) as cursor:
        row = cursor.execute(sql.load("extensions/server"), {"known_roles": known_roles}).fetchone()
    assert row is not None
    place = recognize(
        host, row.version_text, cluster_name=row.cluster_name, roles=tuple(row.known_roles)
    )
    return Server(
        version=row.version,
        version_number=row.version_number,
        place=place,
        database=row.database,
        role=row.role,
        is_superuser=row.is_superuser,
        is_standby=row.is_standby,
        may_create_in_database=row.may_create_in_database,
        has_admin_role=place.admin_role in row.held_roles,
    )


def judge(row: InstalledRow, requirement: Requirement, server: Server) -> Extension:
    state, reason = _state_of(row, requirement)
    statement = _statement_for(row, requirement)
    return Extension(
        name=row.name,
        needed_for=requirement.needed_for,
        minimum_version=requirement.minimum_version,
        installed_version=row.installed_version,
        available_version=row.available_version,
        schema=row.schema,
        state=state,
        reason=reason,
        statement=statement,
        is_permitted=statement is None or _may_run(row, server),
        is_trusted=row.is_trusted or not row.needs_superuser,
        needs_files=_needs_files(row, requirement),
    )


def _state_of(row: InstalledRow, requirement: Requirement) -> tuple[ExtensionState, str]:
    installed, available = row.installed_version, row.available_version
    if available is None:
        if installed is None:
            return ExtensionState.UNAVAILABLE, "its files are not on the server"
        reason = f"{installed} is installed, and its files are gone: the image or package changed"
        return ExtensionState.UNAVAILABLE, reason
    minimum = requirement.minimum_version
    if minimum and is_older(installed or available, minimum):
        offered = "" if installed else f"the server offers {available} only; "
        return ExtensionState.TOO_OLD, offered + requirement.minimum_reason
    if installed is None:
        return ExtensionState.NOT_INSTALLED, "the database does not have it yet"
    if not row.is_on_search_path:
        reason = f"it is in the schema {row.schema}, which this role's search_path does not reach"
        return ExtensionState.UNREACHABLE, reason
    return _faults_of(installed, available, requirement)


def _faults_of(
    installed: str, available: str, requirement: Requirement
) -> tuple[ExtensionState, str]:
    """The faults are in the library, which is as old as the server's files, not as the
    definitions that the database holds."""
    if defects := requirement.defects_of(available):
        listed = "; ".join(f"{fault.text} (fixed in {fault.fixed_in})" for fault in defects)
        return ExtensionState.OUTDATED, f"{available} has known faults: {listed}"
    if requirement.defects_of(installed):
        reason = f"the database has the definitions of {installed}, the server's files are newer"
        return ExtensionState.OUTDATED, reason
    return ExtensionState.OK, ""


def _needs_files(row: InstalledRow, requirement: Requirement) -> bool:
    available, minimum = row.available_version, requirement.minimum_version
    if available is None or (minimum and is_older(available, minimum)):
        return True
    return bool(requirement.defects_of(available))


def _statement_for(row: InstalledRow, requirement: Requirement) -> str | None:
    """What helps with the files that the server has; None where nothing is to be done, or
    nothing helps."""
    available, minimum = row.available_version, requirement.minimum_version
    if available is None or (minimum and is_older(available, minimum)):
        return None
    if row.installed_version is None:
        return f"CREATE EXTENSION IF NOT EXISTS {row.name}"
    if is_older(row.installed_version, available):
        return f"ALTER EXTENSION {row.name} UPDATE"
    return None


def _may_run(row: InstalledRow, server: Server) -> bool:
    """PostgreSQL's rules for CREATE EXTENSION and ALTER EXTENSION … UPDATE."""
    if server.may_create_extensions:
        return True
    enough = not row.needs_superuser or (row.is_trusted and server.may_create_in_database)
    return enough and (row.installed_version is None or row.is_owned)
