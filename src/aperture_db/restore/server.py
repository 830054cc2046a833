"""The server that a dump goes to, and the rights that this takes there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.errors import ApertureDbError
from aperture_db.format import quote_identifier
from aperture_db.postgres.connection import Connection
from aperture_db.restore.objects import Division


@dataclass(frozen=True)
class Server:
    """The server and what this session may do there."""

    version: str
    role: str
    is_standby: bool
    is_read_only: bool
    may_create_schemas: bool
    schemas: list[str] = field(metadata={"json": False})


def read_server(conn: Connection) -> Server:
    """Raises ApertureDbError for one that can only be read."""
    with conn.cursor(row_factory=class_row(Server)) as cursor:
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


def require_ownership(server: Server, division: Division) -> None:
    """Raise ApertureDbError for what the role may not drop."""
    for each in division.replaced:
        if not each.may_drop:
            raise ApertureDbError(
                f"user {server.role} may not replace {each}",
                why=f"it belongs to {each.owner}",
                next_step=f"connect as {each.owner} or as a superuser",
                code="no_privilege",
            )


def require_schemas(
    conn: Connection,
    server: Server,
    owner: str,
    schemas: Collection[str],
    missing: Collection[str],
) -> None:
    """Raise ApertureDbError unless the `missing` schemas can be made, and `owner` may make tables
    in the other ones of `schemas`."""
    if missing and not server.may_create_schemas:
        database = quote_identifier(conn.info.dbname)
        grant = f"GRANT CREATE ON DATABASE {database} TO {quote_identifier(server.role)};"
        raise _no_privilege(server.role, f"make the schema {min(missing)}", grant)
    for schema in sorted(set(schemas) - set(missing)):
        row = conn.execute("SELECT has_schema_privilege(%s, %s, 'CREATE')", [owner, schema])
        if row.fetchone() != (True,):
            role = quote_identifier(owner)
            grant = f"GRANT USAGE, CREATE ON SCHEMA {quote_identifier(schema)} TO {role};"
            raise _no_privilege(owner, f"make tables in the schema {schema}", grant)


def _no_privilege(role: str, what: str, grant: str) -> ApertureDbError:
    return ApertureDbError(
        f"user {role} may not {what}",
        why="the dump's tables have to be made again there",
        next_step=f"as a superuser run: {grant}",
        code="no_privilege",
    )
