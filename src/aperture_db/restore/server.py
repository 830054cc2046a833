"""The server that a dump is restored to: its state, the role's privileges, and the extensions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import psycopg
from psycopg import sql as identifiers
from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.dumps.contents import DumpContents
from aperture_db.errors import ApertureDbError, FindingError
from aperture_db.extensions.report import REQUIREMENTS
from aperture_db.format import quote_identifier
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


def read_server(conn: Connection) -> TargetServer:
    """Raises ApertureDbError for a read-only server."""
    with conn.cursor(row_factory=class_row(TargetServer)) as cursor:
        server = cursor.execute(sql.load("restore/server")).fetchone()
    assert server is not None
    if server.is_standby or server.is_read_only:
        raise ApertureDbError(
            "the database is read-only",
            why="it is a standby" if server.is_standby else "default_transaction_read_only is on",
            next_step="connect to the primary server",
            code="read_only",
        )
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
            next_step=f"ALTER EXTENSION {present.name} SET SCHEMA {wanted};",
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
                next_step=f"as a superuser run: CREATE EXTENSION {name};",
                code="no_privilege",
            ) from error
    return tuple(refused)
