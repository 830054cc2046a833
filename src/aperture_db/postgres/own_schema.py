"""The tool's own schema, apart from everything of Aperture's. It is created on first use."""

from __future__ import annotations

from collections.abc import Iterable

from aperture_db import sql as queries
from aperture_db.format import quote_identifier
from aperture_db.postgres.session import Connection

SCHEMA = "aperture_db"


def create_schema(conn: Connection) -> None:
    """Create the schema unless it exists, within the open transaction.

    Needs CREATE on the database the first time. Until the transaction ends, others who want to
    create something in the schema wait.
    """
    conn.execute(queries.load("postgres/lock_own_schema"))
    exists = conn.execute(queries.load("postgres/own_schema_exists")).fetchone()
    if exists != (True,):
        conn.execute(queries.load("postgres/create_own_schema"))


def own_tables(conn: Connection) -> frozenset[str]:
    """The names of the tables in the schema; none where it was never created."""
    return frozenset(name for (name,) in conn.execute(queries.load("postgres/own_tables")))


def missing_grant(conn: Connection, tables: Iterable[str]) -> str | None:
    """What lets the role write to these tables of the schema, or create them; None when it may."""
    row = conn.execute(
        queries.load("postgres/own_schema_privileges"), {"tables": list(tables)}
    ).fetchone()
    assert row is not None
    role, database, exists, may_create_schema, may_create_tables, has_all, may_write = row
    user = quote_identifier(role)
    if not exists:
        if may_create_schema:
            return None
        return f"GRANT CREATE ON DATABASE {quote_identifier(database)} TO {user};"
    if not has_all and not may_create_tables:
        return f"GRANT USAGE, CREATE ON SCHEMA {SCHEMA} TO {user};"
    if not may_write:
        return (
            f"GRANT USAGE ON SCHEMA {SCHEMA} TO {user}; "
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} TO {user};"
        )
    return None
