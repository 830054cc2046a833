"""PostgreSQL's configuration parameters, set for one transaction: a plain SET would reach other
clients of a pooler."""

from __future__ import annotations

import psycopg

from aperture_db.postgres.connection import Connection

CONNECTION_CHECK_INTERVAL = "1s"


def set_local(conn: Connection, **parameters: str) -> None:
    """Set configuration parameters until the end of the open transaction, in one round trip."""
    conn.execute(
        "SELECT set_config(name, value, true) "
        "FROM unnest(%s::text[], %s::text[]) AS t (name, value)",
        [list(parameters), list(parameters.values())],
    )


def timeout_parameter(seconds: float) -> str:
    """As lock_timeout and statement_timeout take it, where 0 would mean to wait for ever."""
    return f"{max(seconds * 1000, 1):.0f}ms"


def connection_check_interval(conn: Connection) -> str:
    """How often the server shall look whether this client is still there.

    One second frees a dead client's locks at once. 0 where the server's platform can't do it
    (Windows), because setting more is an error there.
    """
    try:
        with conn.transaction():
            set_local(conn, client_connection_check_interval=CONNECTION_CHECK_INTERVAL)
    except psycopg.errors.InvalidParameterValue:
        return "0"
    return CONNECTION_CHECK_INTERVAL
