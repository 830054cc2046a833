"""The server that a dump is restored to: its state, the role's privileges, the extensions, and the
other sessions of the database; none may be connected during a restore.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field

import psycopg
from psycopg import sql as identifiers
from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.dumps.contents import DumpContents
from aperture_db.errors import ApertureDbError, BusyError, FindingError
from aperture_db.extensions.report import REQUIREMENTS
from aperture_db.format import quote_identifier, quote_literal
from aperture_db.postgres.driver_errors import read_only_error
from aperture_db.postgres.session import Connection

# Part of every database.
BUILT_IN = {"plpgsql"}
REQUIRED = {requirement.name for requirement in REQUIREMENTS}


@dataclass(frozen=True)
class TargetServer:
    """The server, and the privileges of this session."""

    version: str
    role: str
    is_superuser: bool
    is_standby: bool
    is_read_only: bool
    may_create_schemas: bool
    schemas: list[str] = field(metadata={"json": False})
    tablespaces: list[str] = field(metadata={"json": False})
    """Those in which this role may create tables."""
    access_methods: list[str] = field(metadata={"json": False})
    """For tables."""


def read_server(conn: Connection) -> TargetServer:
    """Raises ApertureDbError for a read-only server."""
    with conn.cursor(row_factory=class_row(TargetServer)) as cursor:
        server = cursor.execute(sql.load("restore/server")).fetchone()
    assert server is not None
    if (server.is_standby or server.is_read_only) and (refusal := read_only_error(conn)):
        raise refusal
    return server


def require_schemas(
    conn: Connection,
    server: TargetServer,
    owner: str,
    schemas: Collection[str],
    missing: Collection[str],
) -> None:
    """Raise ApertureDbError unless the role may create the `missing` schemas, and `owner` may
    create tables in the others of `schemas`."""
    if missing and not server.may_create_schemas:
        database = quote_identifier(conn.info.dbname)
        grant = f"GRANT CREATE ON DATABASE {database} TO {quote_identifier(server.role)};"
        raise _no_privilege(server.role, f"create the schema {min(missing)}", grant)
    for schema in sorted(set(schemas) - set(missing)):
        row = conn.execute("SELECT has_schema_privilege(%s, %s, 'CREATE')", [owner, schema])
        if row.fetchone() != (True,):
            role = quote_identifier(owner)
            grant = f"GRANT USAGE, CREATE ON SCHEMA {quote_identifier(schema)} TO {role};"
            raise _no_privilege(owner, f"create tables in the schema {schema}", grant)


def _no_privilege(role: str, what: str, grant: str) -> ApertureDbError:
    return ApertureDbError(
        f"user {role} may not {what}",
        why="a restore creates the dump's tables there",
        next_step=f"as a superuser run: {grant}",
        code="no_privilege",
    )


@dataclass(frozen=True)
class ExtensionPlan:
    """The dump's extensions that are not installed yet."""

    to_create: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Present:
    name: str
    schema: str | None
    """None where it is not installed."""
    is_available: bool


def check_extensions(conn: Connection, contents: DumpContents) -> ExtensionPlan:
    """Find the missing extensions. Raises FindingError for a required one that the server does
    not have, ApertureDbError for one in another schema."""
    wanted = {each.name: each.schema for each in contents.extensions if each.name not in BUILT_IN}
    with conn.cursor(row_factory=class_row(_Present)) as cursor:
        found = cursor.execute(sql.load("restore/extensions"), {"names": list(wanted)}).fetchall()
    to_create = []
    left_out = []
    for each in found:
        if each.schema is not None:
            _require_schema(each, wanted[each.name], is_required=each.name in REQUIRED)
        elif each.is_available:
            to_create.append(each.name)
        elif each.name in REQUIRED:
            raise FindingError(
                f"the extension {each.name} is required by the dump and not available",
                why="its files are not installed on the server",
                next_step="aperture-db check-extensions",
                code="extension_unavailable",
            )
        else:
            left_out.append(f"extension {each.name}")
    return ExtensionPlan(tuple(to_create), tuple(left_out))


def _require_schema(present: _Present, wanted: str, *, is_required: bool) -> None:
    if is_required and present.schema != wanted:
        raise ApertureDbError(
            f"the extension {present.name} is in the schema {present.schema}, "
            f"and the dump expects it in {wanted}",
            why="a dump refers to types with their schema",
            next_step=f"ALTER EXTENSION {quote_identifier(present.name)} "
            f"SET SCHEMA {quote_identifier(wanted)};",
            code="extension_schema",
        )


def create_extensions(
    conn: Connection, contents: DumpContents, names: tuple[str, ...]
) -> tuple[str, ...]:
    """Create the missing extensions in the open transaction; returns those that Aperture does not
    need and that this role may not create. Raises ApertureDbError for a required one."""
    schemas = {each.name: each.schema for each in contents.extensions}
    refused = []
    for name in names:
        statement = identifiers.SQL("CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {}").format(
            identifiers.Identifier(name), identifiers.Identifier(schemas[name])
        )
        try:
            with conn.transaction():
                conn.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            if name not in REQUIRED:
                refused.append(name)
                continue
            raise ApertureDbError(
                f"permission denied to create the extension {name}",
                why=str(error.diag.message_primary),
                next_step=f"as a superuser run: CREATE EXTENSION {quote_identifier(name)};",
                code="no_privilege",
            ) from error
    return tuple(refused)


GRACE_SECONDS = 1.0
END_TIMEOUT_SECONDS = 10.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class OtherSession:
    """A client of the same database. State, address and age need pg_monitor."""

    pid: int
    application: str
    user: str
    client: str
    """IP address; empty for a local socket."""
    state: str
    age_seconds: float | None

    def __str__(self) -> str:
        parts = [f"pid {self.pid}", self.application, self.state]
        parts.append(f"user {self.user}" if self.user else "")
        parts.append(f"from {self.client}" if self.client else "")
        if self.age_seconds is not None:
            parts.append(f"connected for {self.age_seconds:.0f} s")
        return ", ".join(filter(None, parts))


def read_sessions(conn: Connection) -> tuple[OtherSession, ...]:
    """All other client sessions of the database; `conn` must be idle.

    Waits up to a second for them: the server needs a moment to end closed connections.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    while sessions := _read_sessions(conn):
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)
    return sessions


def _read_sessions(conn: Connection) -> tuple[OtherSession, ...]:
    with conn.cursor(row_factory=class_row(OtherSession)) as cursor:
        return tuple(cursor.execute(sql.load("restore/sessions"), {}))


def require_no_prepared_transactions(conn: Connection) -> None:
    """Raise BusyError for prepared transactions, which hold locks without a session."""
    names = [
        row[0]
        for row in conn.execute(
            "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY gid"
        )
    ]
    if names:
        gid = quote_literal(names[0])
        raise BusyError(
            "the database has prepared transactions, which may hold locks",
            why="they are: " + ", ".join(names),
            next_step=f"ROLLBACK PREPARED {gid}; or COMMIT PREPARED {gid};",
            code="prepared_transactions",
        )


def describe_refusal(sessions: tuple[OtherSession, ...]) -> BusyError:
    """The error for connected sessions without --terminate-sessions."""
    count = len(sessions)
    return BusyError(
        f"{count} other {'session is' if count == 1 else 'sessions are'} connected to the database",
        why="rows that they write during the restore would be lost",
        next_step="stop Aperture (docker stop aperture), or add --terminate-sessions to terminate "
        "them",
        code="sessions_connected",
        details=tuple(map(str, sessions)),
    )


def terminate_sessions(conn: Connection, sessions: tuple[OtherSession, ...]) -> None:
    """Terminate these sessions and wait until they have ended.

    Needs membership in their roles, or pg_signal_backend. Raises ApertureDbError without it, and
    BusyError for a session that does not end.
    """
    pids = [session.pid for session in sessions]
    try:
        conn.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS t (pid)", [pids])
    except psycopg.errors.InsufficientPrivilege as error:
        role = conn.info.user
        raise ApertureDbError(
            "could not terminate the other sessions",
            why=str(error.diag.message_primary),
            next_step=f"stop Aperture, or as a superuser run: "
            f"GRANT pg_signal_backend TO {quote_identifier(role)};",
            code="no_privilege",
        ) from error
    deadline = time.monotonic() + END_TIMEOUT_SECONDS
    while left := [each for each in _read_sessions(conn) if each.pid in pids]:
        if time.monotonic() > deadline:
            raise BusyError(
                "a session did not end",
                why=f"pid {left[0].pid} is still connected after {END_TIMEOUT_SECONDS:g} s",
                next_step="stop Aperture, then run again",
                code="sessions_connected",
            )
        time.sleep(POLL_SECONDS)
