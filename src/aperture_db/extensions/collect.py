"""Reads the state of the required extensions, and advises how to get them into order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.aperture.schema import locate
from aperture_db.errors import FindingError
from aperture_db.extensions.report import (
    REQUIREMENTS,
    Extension,
    ExtensionsReport,
    ExtensionState,
    Requirement,
    ServerAccess,
    is_older,
)
from aperture_db.format import quote_identifier
from aperture_db.postgres import ADMIN_ROLES, MARKER_ROLES, recognize
from aperture_db.postgres.session import Connection

CREATE_COMMAND = "aperture-db check-extensions --create"
SUMMARIES = {
    ExtensionState.TOO_OLD: "too old",
    ExtensionState.NOT_INSTALLED: "not installed in the database",
    ExtensionState.UNREACHABLE: "not on this role's search_path",
    ExtensionState.UNAVAILABLE: "not available on the server",
}


@dataclass(frozen=True)
class ServerRow:
    """A row of the query extensions/server."""

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
    """A row of the query extensions/installed."""

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
    """Read the state of every required extension, with advice.

    The advice depends on `host`, to which the client connected. Needs no privilege, writes
    nothing, and works on a standby.
    """
    wanted = {requirement.name: requirement for requirement in requirements}
    server = _read_server(conn, host)
    with conn.cursor(row_factory=class_row(InstalledRow)) as cursor:
        parameters = {
            "names": list(wanted),
            "path": ["pg_catalog", *conn.original_path.schemas],
        }
        cursor.execute(sql.load("extensions/installed"), parameters)
        extensions = tuple(judge(row, wanted[row.name], server) for row in cursor)
    return ExtensionsReport(server, extensions, advise(server, extensions))


def _read_server(conn: Connection, host: str) -> ServerAccess:
    known_roles = list({*MARKER_ROLES, *ADMIN_ROLES})
    with conn.cursor(row_factory=class_row(ServerRow)) as cursor:
        row = cursor.execute(sql.load("extensions/server"), {"known_roles": known_roles}).fetchone()
    assert row is not None
    place = recognize(
        host, row.version_text, cluster_name=row.cluster_name, roles=tuple(row.known_roles)
    )
    return ServerAccess(
        version=row.version,
        version_number=row.version_number,
        place=place,
        database=row.database,
        role=row.role,
        is_superuser=row.is_superuser,
        is_standby=row.is_standby,
        may_create_in_database=row.may_create_in_database,
        has_admin_role=place.admin_role in row.held_roles,
        path_advice=locate(conn).advise_path(),
    )


def judge(row: InstalledRow, requirement: Requirement, server: ServerAccess) -> Extension:
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
        reason = f"{installed} is installed, but its files are gone: the image or package changed"
        return ExtensionState.UNAVAILABLE, reason
    minimum = requirement.minimum_version
    if minimum and is_older(installed or available, minimum):
        offered = "" if installed else f"the server offers {available} only; "
        return ExtensionState.TOO_OLD, offered + requirement.minimum_reason
    if installed is None:
        return ExtensionState.NOT_INSTALLED, "the database does not have it yet"
    if not row.is_on_search_path:
        reason = f"it is in the schema {row.schema}, which is not on this role's search_path"
        return ExtensionState.UNREACHABLE, reason
    return _faults_of(installed, available, requirement)


def _faults_of(
    installed: str, available: str, requirement: Requirement
) -> tuple[ExtensionState, str]:
    """Find known faults. They are in the library, whose version is that of the server's files and
    not that of the definitions in the database."""
    if defects := requirement.defects_of(available):
        listed = "; ".join(f"{fault.text} (fixed in {fault.fixed_in})" for fault in defects)
        return ExtensionState.OUTDATED, f"{available} has known faults: {listed}"
    if requirement.defects_of(installed):
        reason = f"the database has the definitions of {installed}; the server's files are newer"
        return ExtensionState.OUTDATED, reason
    return ExtensionState.OK, ""


def _needs_files(row: InstalledRow, requirement: Requirement) -> bool:
    available, minimum = row.available_version, requirement.minimum_version
    if available is None or (minimum and is_older(available, minimum)):
        return True
    return bool(requirement.defects_of(available))


def _statement_for(row: InstalledRow, requirement: Requirement) -> str | None:
    """Build the SQL that creates or updates it; None if there is none to run with these files."""
    available, minimum = row.available_version, requirement.minimum_version
    if available is None or (minimum and is_older(available, minimum)):
        return None
    if row.installed_version is None:
        return f"CREATE EXTENSION IF NOT EXISTS {row.name}"
    if is_older(row.installed_version, available):
        return f"ALTER EXTENSION {row.name} UPDATE"
    return None


def _may_run(row: InstalledRow, server: ServerAccess) -> bool:
    """Apply PostgreSQL's rules for CREATE EXTENSION and ALTER EXTENSION … UPDATE."""
    if server.may_create_extensions:
        return True
    enough = not row.needs_superuser or (row.is_trusted and server.may_create_in_database)
    return enough and (row.installed_version is None or row.is_owned)


def advise(server: ServerAccess, extensions: Sequence[Extension]) -> tuple[str, ...]:
    """List the steps that make all of `extensions` usable, each a command or a sentence."""
    concerned = [e for e in extensions if e.state is not ExtensionState.OK]
    return tuple(dict.fromkeys(_steps(server, concerned)))


def _steps(server: ServerAccess, concerned: Sequence[Extension]) -> Iterator[str]:
    primary = "on the primary server: " if server.is_standby else ""
    database, role = quote_identifier(server.database), quote_identifier(server.role)
    lacking = [e for e in concerned if e.needs_files]
    for extension in lacking:
        yield server.place.how_to_get(extension.name, server.major)
    grantable = [e for e in concerned if not e.is_permitted and _helped_by_grant(e, server)]
    if grantable:
        yield (
            f"{primary}as the owner of the database run: "
            f"GRANT CREATE ON DATABASE {database} TO {role};"
        )
    refused = [e for e in concerned if not e.is_permitted and e not in grantable]
    if refused:
        statements = " ".join(f"{e.statement};" for e in refused)
        yield f"{primary}as {_who_may(server)} run in database {server.database}: {statements}"
    if lacking or grantable or any(e.statement and e.is_permitted for e in concerned):
        yield primary + CREATE_COMMAND
    for extension in concerned:
        if extension.state is ExtensionState.UNREACHABLE:
            yield server.path_advice


def _helped_by_grant(extension: Extension, server: ServerAccess) -> bool:
    return (
        extension.is_trusted
        and extension.installed_version is None
        and not server.may_create_in_database
    )


def _who_may(server: ServerAccess) -> str:
    if server.place.admin_role:
        return f"a member of {server.place.admin_role}"
    return "a superuser"


def finding(report: ExtensionsReport, among: Sequence[Extension] | None = None) -> FindingError:
    """Build the error that says which extensions can't be used, why, and what to do.

    It covers `among`, such as `report.blocking_migrations`; by default all that are unusable, or
    else those that failed a probe. There must be at least one.
    """
    concerned = report.unusable if among is None else among
    if not concerned:
        return _probe_finding(report)
    why, *details = (_why(extension, report.server) for extension in concerned)
    if any(extension.needs_files for extension in concerned):
        details.append(f"the server is {report.server}")
    return FindingError(
        _what(concerned),
        why=why,
        details=tuple(details),
        next_step=advise(report.server, concerned),
        code=f"extension_{concerned[0].state}",
    )


def _probe_finding(report: ExtensionsReport) -> FindingError:
    probe, *others = report.failed_probes
    return FindingError(
        f"the extension {probe.extension} is installed, and does not work",
        why=f"{probe.what}: {probe.detail}",
        details=tuple(f"{other.what}: {other.detail}" for other in others),
        next_step=report.advice
        or report.server.place.how_to_get(probe.extension, report.server.major),
        code="extension_probe_failed",
    )


def _what(concerned: Sequence[Extension]) -> str:
    names = [extension.name for extension in concerned]
    listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    states = {extension.state for extension in concerned}
    problem = SUMMARIES.get(concerned[0].state) if len(states) == 1 else None
    subject = f"the extension {listed} is" if len(names) == 1 else f"the extensions {listed} are"
    return f"{subject} {problem or 'not usable'}"


def _why(extension: Extension, server: ServerAccess) -> str:
    why = f"{extension.name} ({extension.needed_for}): {extension.reason}"
    if not extension.is_permitted:
        verb = "create" if extension.installed_version is None else "update"
        why += f"; role {server.role} may not {verb} it"
    return why
