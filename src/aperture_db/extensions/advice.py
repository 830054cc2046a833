"""What to do about extensions, in the words of the place where the server lives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aperture_db.errors import FindingError
from aperture_db.extensions.report import Extension, ExtensionsReport, ExtensionState, Server
from aperture_db.format import quote_identifier

CREATE_COMMAND = "aperture-db check-extensions --create"


def advise(server: Server, extensions: Sequence[Extension]) -> tuple[str, ...]:
    """The steps that bring all of `extensions` in order, each a command or a plain sentence."""
    concerned = [e for e in extensions if e.state is not ExtensionState.OK]
    return tuple(dict.fromkeys(_steps(server, concerned)))


def _steps(server: Server, concerned: Sequence[Extension]) -> Iterator[str]:
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
            yield primary + _make_reachable(extension, server)


def _helped_by_grant(extension: Extension, server: Server) -> bool:
    return (
        extension.is_trusted
        and extension.installed_version is None
        and not server.may_create_in_database
    )


def _who_may(server: Server) -> str:
    if server.place.admin_role:
        return f"a member of {server.place.admin_role}"
    return "a superuser"


def _make_reachable(extension: Extension, server: Server) -> str:
    database, role = quote_identifier(server.database), quote_identifier(server.role)
    schema = quote_identifier(extension.schema or "")
    return (
        f"GRANT USAGE ON SCHEMA {schema} TO {role}; ALTER ROLE {role} IN DATABASE {database} "
        f'SET search_path = "$user", public, {schema};'
    )


def finding(report: ExtensionsReport, among: Sequence[Extension] | None = None) -> FindingError:
    """The error that says which extensions can't be used, why, and what to do.

    `among` limits it, for instance to `report.blocking_migrations`; by default all that are
    unusable, or else failed a probe. There must be at least one. The steps of `next_step` are
    lines.
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
        next_step="\n".join(advise(report.server, concerned)),
        code=f"extension_{concerned[0].state}",
    )


def _probe_finding(report: ExtensionsReport) -> FindingError:
    probe, *others = report.failed_probes
    return FindingError(
        f"the extension {probe.extension} is installed, and does not work",
        why=f"{probe.what}: {probe.detail}",
        details=tuple(f"{other.what}: {other.detail}" for other in others),
        next_step="\n".join(report.advice)
        or report.server.place.how_to_get(probe.extension, report.server.major),
        code="extension_probe_failed",
    )


SUMMARIES = {
    ExtensionState.TOO_OLD: "too old",
    ExtensionState.NOT_INSTALLED: "not installed in the database",
    ExtensionState.UNREACHABLE: "not reachable for this role",
    ExtensionState.UNAVAILABLE: "not available on the server",
}


def _what(concerned: Sequence[Extension]) -> str:
    names = [extension.name for extension in concerned]
    listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    states = {extension.state for extension in concerned}
    problem = SUMMARIES.get(concerned[0].state) if len(states) == 1 else None
    subject = f"the extension {listed} is" if len(names) == 1 else f"the extensions {listed} are"
    return f"{subject} {problem or 'not usable'}"


def _why(extension: Extension, server: Server) -> str:
    why = f"{extension.name} ({extension.needed_for}): {extension.reason}"
    if not extension.is_permitted:
        verb = "create" if extension.installed_version is None else "update"
        why += f"; role {server.role} may not {verb} it"
    return why
