"""Roles with less than a superuser's rights."""

from __future__ import annotations

import secrets
from typing import Literal

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

Rights = Literal["none", "no_connect", "read", "write", "create_tables", "owner"]
"""What a role may do in its database:

- none: connect, and nothing else
- no_connect: not even connect
- read: SELECT on every table of the schema public, those made later included
- write: read, and INSERT, UPDATE and DELETE
- create_tables: write, and create tables in the schema public, but no extensions
- owner: owns the database, the schema public and everything in it, without being a superuser
"""

TABLE_RIGHTS = {
    "read": "SELECT",
    "write": "SELECT, INSERT, UPDATE, DELETE",
    "create_tables": "SELECT, INSERT, UPDATE, DELETE",
}
# Tables first, because a sequence that a table owns can't change hands alone; what belongs to
# an extension stays with it.
OWN_OBJECTS = """
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('ALTER %s %s OWNER TO %I', kind, name, {role})
        FROM (
            SELECT 'pg_class'::regclass, oid,
                   CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                                WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                   oid::regclass::text
            FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
            UNION ALL
            SELECT 'pg_proc'::regclass, oid, 'ROUTINE', oid::regprocedure::text
            FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace
        ) AS object (catalog, oid, kind, name)
        WHERE NOT EXISTS (
            SELECT FROM pg_depend
            WHERE classid = catalog AND objid = object.oid AND deptype IN ('e', 'a', 'i')
        )
        ORDER BY kind DESC
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$
"""


def make_role(superuser_conninfo: str, rights: Rights) -> str:
    """Make a role for the database of `superuser_conninfo`; returns the role's access to it."""
    name = f"test_{rights}_{secrets.token_hex(4)}"
    password = secrets.token_hex(8)
    role = sql.Identifier(name)
    database = sql.Identifier(str(conninfo_to_dict(superuser_conninfo)["dbname"]))
    with psycopg.connect(superuser_conninfo, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password))
        )
        if rights == "no_connect":
            admin.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(database))
        if table_rights := TABLE_RIGHTS.get(rights):
            _grant_on_tables(admin, role, sql.SQL(table_rights))
        if rights == "create_tables":
            admin.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(role))
        if rights == "owner":
            admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, role))
            admin.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(role))
            admin.execute(sql.SQL(OWN_OBJECTS).format(role=sql.Literal(name)))
    return make_conninfo(superuser_conninfo, user=name, password=password)


def _grant_on_tables(admin: psycopg.Connection, role: sql.Identifier, rights: sql.SQL) -> None:
    for statement in (
        "GRANT {rights} ON ALL TABLES IN SCHEMA public TO {role}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {rights} ON TABLES TO {role}",
    ):
        admin.execute(sql.SQL(statement).format(rights=rights, role=role))


def drop_role(superuser_conninfo: str, role_conninfo: str) -> None:
    """Drop the role; what it owns goes to the superuser. Its database may be gone already."""
    role = sql.Identifier(str(conninfo_to_dict(role_conninfo)["user"]))
    database = str(conninfo_to_dict(role_conninfo)["dbname"])
    with psycopg.connect(superuser_conninfo, autocommit=True) as admin:
        exists = "SELECT FROM pg_database WHERE datname = %s"
        if admin.execute(exists, [database]).rowcount:
            with psycopg.connect(superuser_conninfo, dbname=database, autocommit=True) as conn:
                conn.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(role))
                conn.execute(sql.SQL("DROP OWNED BY {}").format(role))
        admin.execute(sql.SQL("DROP ROLE {}").format(role))
