"""Finds the privilege that a refused statement lacked, and the statement that grants it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psycopg
from psycopg.conninfo import make_conninfo

from aperture_db import sql
from aperture_db.format import quote_identifier
from aperture_db.postgres.session import Connection, open_session
from aperture_db.postgres.target import Target

Answer = TypeVar("Answer")
OWNER_PATTERN = re.compile(r"must be owner of (?P<kind>[a-z ]+?) (?P<name>\S+)$")
KINDS = ("table", "sequence", "view", "materialized view", "function", "schema", "database", "type")
OWNED_KINDS = {"relation": "TABLE", **{kind: kind.upper() for kind in KINDS}}
DENIED_PATTERN = re.compile(r"permission denied for (?P<kind>[a-z ]+?) (?P<name>.+)$")
RELATIONS = ("table", "view", "materialized view", "foreign table", "sequence", "relation")
READ_GRANTS = {
    "large object": "GRANT SELECT ON LARGE OBJECT {name} TO {user};",
    "schema": "GRANT USAGE ON SCHEMA {name} TO {user};",
    "function": "GRANT EXECUTE ON FUNCTION {name} TO {user};",
}
WRITE_GRANTS = READ_GRANTS | {
    "schema": "GRANT USAGE, CREATE ON SCHEMA {name} TO {user};",
    "database": "GRANT CREATE ON DATABASE {name} TO {user};",
}
STATISTICS_VIEW = "pg_"
OTHERWISE = "connect as the owner of Aperture's tables or as a superuser"


def ask(target: Target, question: Callable[[Connection], Answer | None]) -> Answer | None:
    """Ask the server for a cause through another connection: the one of the failed statement may
    be in an aborted transaction. None where there is no answer."""
    with suppress(psycopg.Error):
        conninfo = make_conninfo(**{**target.params, "connect_timeout": "5"})
        with open_session(conninfo) as conn:
            return question(conn)
    return None


def restate(message: str, target: Target, *, writes: bool) -> str:
    """The server's message about a missing privilege in English: the longest name in it of an
    object on which the role lacks a privilege, or that it does not own."""
    words = ["", *re.findall(r"[^\s«»„“<>]+", message), ""]
    parameters = {"words": " ".join(words), "writes": writes}
    query = sql.load("postgres/refused_object")
    row = ask(target, lambda conn: conn.execute(query, parameters).fetchone())
    return str(row[0]) if row else message


def grant_for(message: str, target: Target, *, writes: bool = False) -> str:
    """The statement that the server's message about a missing privilege asks for: exactly what the
    role lacks on that object, where the server can be asked.

    `message` is in English; any other gets the general advice. `writes` tells whether the
    refused work changes data.
    """
    owner, denied = OWNER_PATTERN.search(message), DENIED_PATTERN.search(message)
    role = quote_identifier(ask(target, _read_role) or target.user)
    if owner and owner["kind"] in OWNED_KINDS:
        kind = OWNED_KINDS[owner["kind"]]
        return f"as a superuser run: ALTER {kind} {_quoted(owner['name'])} OWNER TO {role};"
    if denied is None:
        return OTHERWISE
    grants = WRITE_GRANTS if writes else READ_GRANTS
    kind, name = denied["kind"], denied["name"]
    if kind in RELATIONS and name.startswith(STATISTICS_VIEW):
        statement = f"GRANT pg_monitor TO {role};"
    elif kind in RELATIONS:
        statements = ask(target, lambda conn: _read_grants(conn, name, role, writes=writes))
        if not statements:
            return OTHERWISE
        statement = statements
    elif kind in grants:
        statement = grants[kind].format(name=_quoted(name), user=role)
    else:
        return OTHERWISE
    return f"as the owner or a superuser run: {statement}"


def _read_role(conn: Connection) -> str:
    """The role whose privileges apply, which a setting of the login may have changed."""
    row = conn.execute("SELECT current_user").fetchone()
    assert row is not None
    return str(row[0])


def _read_grants(conn: Connection, name: str, role: str, *, writes: bool) -> str:
    """What the role lacks on the relation of this name, Aperture's first; empty for nothing."""
    parameters = {"name": name, "writes": writes, "schema": conn.schema}
    row = conn.execute(sql.load("postgres/lacking_privileges"), parameters).fetchone()
    if row is None:
        return ""
    schema_name, privileges, may_enter, kind = row
    schema = quote_identifier(schema_name)
    steps = [] if may_enter else [f"GRANT USAGE ON SCHEMA {schema} TO {role};"]
    if privileges:
        on = f"{kind}{schema}.{quote_identifier(name)}"
        steps.append(f"GRANT {', '.join(privileges)} ON {on} TO {role};")
    return " ".join(steps)


def _quoted(name: str) -> str:
    """A name from a message, which has it as it is; an ordinary one stays."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*|\d+", name) else quote_identifier(name)
