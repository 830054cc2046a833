"""The ways in which connecting fails.

libpq keeps only the text of a failed attempt. What it says itself, and what PgBouncer says, is in
English. A server's text may be in any language: then a second attempt, whose messages are traced,
finds the SQLSTATE. Templates may use {user}, {host}, {port}, {database}, {timeout} (seconds),
{source} (where the setting concerned was made), {value} (what it is), {hba} (a line of
pg_hba.conf), {probe} (a command that looks for the server) and {reason} (the telling sentence of
the message).
"""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo
from psycopg.pq.abc import PGconn


@dataclass(frozen=True)
class ConnectFailure:
    """One way in which connecting fails."""

    code: str
    pattern: str
    why: str
    next_step: str
    transient: bool = False
    sslmode: str | None = None
    """Counts only under this sslmode."""
    keyword: str = "host"
    """The setting that it is about."""
    states: tuple[str, ...] = ()
    """The SQLSTATEs of it, for servers that speak another language."""
    routine: str = ""
    """The server's function that raises it, where the SQLSTATE has several meanings."""


# When several addresses of a host were tried, the message has several failures: the first entry
# that matches tells most, so those that prove a server was reached come first.
CONNECT_FAILURES = (
    ConnectFailure(
        "password_missing",
        r"no password supplied",
        "the server requires a password for user {user}, and none was given",
        "add it to the connection string (from {source}), or set PGPASSWORD",
        keyword="password",
    ),
    ConnectFailure(
        "password_rejected",
        r"password authentication failed|authentication failed",
        "password authentication failed for user {user}: the password is wrong or has expired, or "
        "there is no such role",
        "correct user and password in {source} (percent-encoded in a URL: @ is %40, / is %2F, # is "
        "%23); that of the bundled container is POSTGRES_PASSWORD",
        keyword="password",
        states=("28P01",),
    ),
    ConnectFailure(
        "role_missing",
        r'role ".*" does not exist|Tenant or user not found|no such user',
        "role {user} does not exist",
        "correct the user in {source}; on Supabase's pooler it is postgres.<project>",
        keyword="user",
    ),
    ConnectFailure(
        "role_without_login",
        r"is not permitted to log in",
        "role {user} is not permitted to log in",
        "as a superuser run: ALTER ROLE {quoted_user} LOGIN;",
        keyword="user",
    ),
    ConnectFailure(
        "role_missing",
        # Two refusals that differ only in their text.
        r"$^",
        "the server refused the role {user}: {reason}",
        "correct the user in {source}, or as a superuser run: ALTER ROLE {quoted_user} LOGIN;",
        keyword="user",
        states=("28000",),
        routine="InitializeSessionUserId",
    ),
    ConnectFailure(
        "database_missing",
        r'database ".*" does not exist|no such database',
        "database {database} does not exist",
        "correct the name in {source}, or create it: CREATE DATABASE {quoted_database};",
        keyword="dbname",
        states=("3D000",),
    ),
    ConnectFailure(
        "no_connect_privilege",
        r"permission denied for database|does not have CONNECT privilege",
        "user {user} does not have the CONNECT privilege on database {database}",
        "as its owner run: GRANT CONNECT ON DATABASE {quoted_database} TO {quoted_user};",
        states=("42501",),
    ),
    ConnectFailure(
        "database_closed",
        r"is not currently accepting connections|cannot connect to invalid database",
        "database {database} accepts no connections: {reason}",
        "as a superuser run: ALTER DATABASE {quoted_database} ALLOW_CONNECTIONS true;",
        keyword="dbname",
        states=("55000",),
    ),
    ConnectFailure(
        "tls_required",
        r"SSL required|connection is insecure",
        "the server accepts connections only over TLS",
        "set sslmode=require in {source}",
        keyword="sslmode",
    ),
    ConnectFailure(
        "tls_required",
        r"pg_hba.conf (entry|rejects) .*no encryption",
        "the server accepts this user only over TLS, and sslmode=disable is set",
        "set sslmode=require in {source}",
        keyword="sslmode",
        sslmode="disable",
    ),
    ConnectFailure(
        "not_allowed_from_here",
        r"pg_hba\.conf",
        "the server's pg_hba.conf does not allow user {user} from this machine",
        "add this line to the server's pg_hba.conf (SHOW hba_file;), above any that rejects this "
        "client, and run SELECT pg_reload_conf();\n{hba}",
    ),
    ConnectFailure(
        "too_many_connections",
        r"too many connections for role",
        "role {user} has as many connections as its CONNECTION LIMIT allows",
        "close connections of that role, or as a superuser run: ALTER ROLE {quoted_user} "
        "CONNECTION LIMIT -1;",
        transient=True,
        states=("53300",),
        routine="InitializeSessionUserId",
    ),
    ConnectFailure(
        "too_many_connections",
        r"too many connections for database",
        "database {database} has as many connections as its CONNECTION LIMIT allows",
        "close connections to it, or as its owner run: ALTER DATABASE {quoted_database} "
        "CONNECTION LIMIT -1;",
        transient=True,
        states=("53300",),
        routine="CheckMyDatabase",
    ),
    ConnectFailure(
        "too_many_connections",
        r"too many clients|remaining connection slots|too many connections"
        r"|no more connections allowed|max clients reached|max_client_conn",
        "the server has no free connection slots: {reason}",
        "try again with --wait 60, close other connections, or raise max_connections",
        transient=True,
        states=("53300",),
    ),
    ConnectFailure(
        "starting_up",
        r"the database system is (starting up|shutting down|not yet accepting|in recovery mode)",
        "the server is not ready yet: {reason}",
        "try again with --wait 60",
        transient=True,
        states=("57P03",),
    ),
    ConnectFailure(
        "tls_not_supported",
        r"server does not support SSL",
        "sslmode={value} requires TLS, and the server does not support it",
        "set sslmode=prefer in {source}, or enable TLS in the server: ALTER SYSTEM SET ssl = on;",
        keyword="sslmode",
    ),
    ConnectFailure(
        "tls_certificate_missing",
        r"(certificate|private key) file .*(does not exist|has group or world access)"
        r"|could not (read|load|open|get) .*(certificate|CRL|private key)",
        "a file named in the TLS settings can't be used: {reason}",
        "correct sslrootcert, sslcert or sslkey in {source}, or use the system's CA bundle: "
        "sslrootcert=system",
        keyword="sslrootcert",
    ),
    ConnectFailure(
        "tls_wrong_host",
        r"server certificate for .* does not match host name",
        "the certificate is not valid for this host: {reason}",
        "use a host name from the certificate, or set sslmode=verify-ca in {source} to skip the "
        "host name check",
        keyword="sslmode",
    ),
    ConnectFailure(
        "tls_not_trusted",
        r"certificate verify failed|self.signed certificate|unable to get local issuer"
        r"|signature failure",
        "the server's certificate has expired, or no trusted certificate authority signed it",
        "set the CA certificate with sslrootcert=/path/ca.crt",
        keyword="sslrootcert",
    ),
    ConnectFailure(
        "pooler_options",
        r"unsupported startup parameter",
        "the pooler rejects a parameter of {source}: {reason}",
        "remove the options from {source}, or connect to the server's own port",
        keyword="options",
    ),
    ConnectFailure(
        "bad_options",
        r"unrecognized configuration parameter|invalid value for parameter"
        r"|invalid command-line argument|permission denied to set parameter"
        r"|parameter .* (cannot be|requires)",
        "the server rejects a setting of {source}: {reason}",
        "correct the options in {source}",
        keyword="options",
        states=("42704", "22023", "42601", "55P02"),
    ),
    ConnectFailure(
        "pooler_without_server",
        r"pgbouncer cannot connect to server|server login has been failing|server_login_retry",
        "the pooler answers, but can't connect to its server",
        "start the server, or correct its address in the pooler's configuration",
        transient=True,
    ),
    ConnectFailure(
        "no_primary",
        r"session is read-only|server is in hot standby mode",
        "none of the servers {host} accepts writes: they are standbys, or "
        "default_transaction_read_only is on",
        "wait for the promotion of a standby with --wait 60, or add the primary to {source}",
        transient=True,
        keyword="target_session_attrs",
    ),
    ConnectFailure(
        "no_standby",
        r"server is not in hot standby mode|session is not read-only",
        "no server of {host} is what target_session_attrs={value} asks for",
        "use target_session_attrs=prefer-standby in {source}",
        keyword="target_session_attrs",
        transient=True,
    ),
    ConnectFailure(
        "timeout",
        r"timeout expired|timed out",
        "no answer within {timeout} s: a firewall may drop the packets, or the address is wrong",
        "correct host and port in {source}, or wait longer with --connect-timeout 30",
        transient=True,
    ),
    ConnectFailure(
        "socket_missing",
        r'on socket ".*" failed: (No such file or directory|Connection refused)',
        "no server listens on port {port} in the socket directory {host}",
        "start the server, or set its socket directory with ?host=/var/run/postgresql",
        transient=True,
    ),
    ConnectFailure(
        "connection_refused",
        r"Connection refused|actively refused",
        "connection refused: nothing listens on {host} port {port}",
        "start the server, correct host and port in {source}, or let the server listen on that "
        "address (listen_addresses, the container's published port, a firewall); check with: "
        "{probe}",
        transient=True,
    ),
    ConnectFailure(
        "host_not_resolved",
        r"failed to resolve host|could not translate host name|[Nn]ame or service not known"
        r"|name resolution|nodename nor servname|No address associated",
        "could not resolve host {host}",
        "correct the host in {source}, or check name resolution with: getent hosts {quoted_host}",
        transient=True,
    ),
    ConnectFailure(
        "unreachable",
        r"Network is unreachable|No route to host|Cannot assign requested address",
        "no network route to {host}",
        "check the address and the network; some hosts have only an IPv6 address",
        transient=True,
    ),
    ConnectFailure(
        "not_postgresql",
        r"received invalid response|expected authentication request",
        "the service on {host} port {port} is not PostgreSQL",
        "correct host and port in {source}",
    ),
    ConnectFailure(
        "closed_at_once",
        r"server closed the connection unexpectedly|[Cc]onnection reset by peer",
        "the service on {host} port {port} closed the connection: it is starting up, "
        "or is not PostgreSQL",
        "try again with --wait 60, or correct host and port in {source}",
        transient=True,
        states=("57P01", "57P02", "57P03"),
    ),
)

COMPOSE_HOST = "db"
COMPOSE_HINT = (
    "`db` is the database's host name inside Docker Compose only: run the tool there "
    "(docker exec aperture aperture-db …), or use localhost and the published port"
)
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
LOOPBACK_HINT = (
    "start the server (check with: {probe}); inside a container "
    "{host} is the container itself: use the database service's name there"
)

ERROR_RESPONSE = re.compile(rb'ErrorResponse\t.*? C "(\w{5})" .*? R "(\w*)"', re.DOTALL)


class Refusal(NamedTuple):
    """What a server's refusal says in no language."""

    state: str
    routine: str
    """The server's function that raised it."""


def read_refusals(params: Mapping[str, str], timeout_seconds: float) -> list[Refusal]:
    """Connect once more, with the messages traced, and return the servers' refusals.

    The trace holds the messages of the authentication, too, so it never leaves the memory. Empty
    where the system can't do that (all but Linux), and where no server answers.
    """
    if not hasattr(os, "memfd_create"):
        return []
    with suppress(psycopg.Error, OSError, UnicodeError):
        conninfo = make_conninfo(**params).encode()
        descriptor = os.memfd_create("aperture-db")
        with os.fdopen(descriptor, "rb") as trace:
            conn = pq.PGconn.connect_start(conninfo)
            try:
                conn.trace(descriptor)
                _finish_connecting(conn, time.monotonic() + timeout_seconds)
                conn.untrace()
            finally:
                conn.finish()
            trace.seek(0)
            found = ERROR_RESPONSE.findall(trace.read())
        return [Refusal(state.decode(), routine.decode()) for state, routine in found]
    return []


def _finish_connecting(conn: PGconn, deadline: float) -> None:
    while time.monotonic() < deadline:
        match conn.connect_poll():
            case pq.PollingStatus.READING:
                waiting: tuple[list[int], list[int]] = ([conn.socket], [])
            case pq.PollingStatus.WRITING:
                waiting = ([], [conn.socket])
            case _:
                return
        select.select(*waiting, [], max(0.0, deadline - time.monotonic()))


# A setting that libpq refuses before it connects anywhere.
BAD_SETTING = re.compile(
    r"invalid \S+ value|invalid (?:connection option|port number|integer value)|weak sslmode"
    r'|definition of service ".*" not found|service file ".*" not found|could not match \d+ '
)
# The message names the target in its first line.
LIBPQ_PREFIXES = re.compile(
    r"^(?:connection (?:failed|is bad): |connection to server .*? failed: "
    r"|consuming input failed: |(?:FATAL|ERROR):\s+)*"
)
BAD_KEYWORD = re.compile(
    r'invalid (?!integer)(\w+) value|option "(\w+)"|definition of (service)|(service) file'
    r"|weak (sslmode)|invalid (port) number|could not match \d+ (port|host)"
)
PGPASS_FILE = re.compile(r'password retrieved from file "(.*)"')


def first_sentence(message: str) -> str:
    """The telling line of libpq's message. What follows it are explanations, and the same again
    for every address that was tried."""
    line = next(filter(None, map(str.strip, message.splitlines())), "no reason was given")
    return LIBPQ_PREFIXES.sub("", line) or line


ENCRYPTING_MODES = ("require", "verify-ca", "verify-full")


def pg_hba_line(database: str, user: str, sslmode: str, message: str) -> str:
    """The line that lets this role into this database, from the address that the server's message
    quotes in any language. Names in quotes stand for themselves, never for a keyword."""
    names = " ".join('"' + name.replace('"', '""') + '"' for name in (database, user))
    for word in re.findall(r"[0-9A-Fa-f:.]{3,}", message.partition("pg_hba.conf")[2]):
        with suppress(ValueError):
            address = ip_address(word)
            kind = "hostssl" if sslmode in ENCRYPTING_MODES else "host"
            return f"{kind} {names} {address}/{address.max_prefixlen} scram-sha-256"
    return f"local {names} scram-sha-256"
