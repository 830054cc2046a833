"""The ways in which connecting fails, recognised by the text of libpq and of servers and poolers.

Such errors carry no SQLSTATE. Templates may use {user}, {host}, {port}, {database}, {source},
{timeout} (seconds) and {reason} (the telling sentence of the message).
"""

from __future__ import annotations

from dataclasses import dataclass


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


# When several addresses of a host were tried, the message has several failures: the first entry
# that matches tells most, so those that prove a server was reached come first.
CONNECT_FAILURES = (
    ConnectFailure(
        "password_missing",
        r"no password supplied",
        "the server requires a password for user {user}, and none was given",
        "add it to the connection string (from {source}), or set PGPASSWORD",
    ),
    ConnectFailure(
        "password_rejected",
        r"password authentication failed|authentication failed",
        "password authentication failed for user {user}",
        "correct the password in {source} (POSTGRES_PASSWORD of the bundled container)",
    ),
    ConnectFailure(
        "role_missing",
        r'role ".*" does not exist|Tenant or user not found|no such user',
        "role {user} does not exist",
        "correct the user in {source}; on Supabase's pooler it is postgres.<project>",
    ),
    ConnectFailure(
        "role_without_login",
        r"is not permitted to log in",
        "role {user} is not permitted to log in",
        "as a superuser run: ALTER ROLE {quoted_user} LOGIN;",
    ),
    ConnectFailure(
        "database_missing",
        r'database ".*" does not exist|no such database',
        "database {database} does not exist",
        "correct the name in {source}, or create it: CREATE DATABASE {quoted_database};",
    ),
    ConnectFailure(
        "no_connect_privilege",
        r"permission denied for database|does not have CONNECT privilege",
        "user {user} does not have the CONNECT privilege on database {database}",
        "as its owner run: GRANT CONNECT ON DATABASE {quoted_database} TO {quoted_user};",
    ),
    ConnectFailure(
        "tls_required",
        r"SSL required|connection is insecure",
        "the server accepts connections only over TLS",
        "add ?sslmode=require to the connection string",
    ),
    ConnectFailure(
        "tls_required",
        r"pg_hba.conf (entry|rejects) .*no encryption",
        "the server accepts this user only over TLS, and sslmode=disable is set",
        "set sslmode=require in the connection string",
        sslmode="disable",
    ),
    ConnectFailure(
        "not_allowed_from_here",
        r"no pg_hba.conf entry|pg_hba.conf rejects",
        "the server's pg_hba.conf does not allow user {user} from this machine",
        "add a line for this client to pg_hba.conf and run: SELECT pg_reload_conf();",
    ),
    ConnectFailure(
        "too_many_connections",
        r"too many clients|remaining connection slots|too many connections"
        r"|no more connections allowed|max clients reached|max_client_conn",
        "the server has no free connection slots: {reason}",
        "try again with --wait 60, close other connections, or raise max_connections",
        transient=True,
    ),
    ConnectFailure(
        "starting_up",
        r"the database system is (starting up|shutting down|not yet accepting|in recovery mode)",
        "the server is not ready yet: {reason}",
        "try again with --wait 60",
        transient=True,
    ),
    ConnectFailure(
        "tls_not_supported",
        r"server does not support SSL",
        "the connection string requires TLS, and the server does not support it",
        "set sslmode=prefer, or enable TLS in the server: ALTER SYSTEM SET ssl = on;",
    ),
    ConnectFailure(
        "tls_certificate_missing",
        r"(certificate|private key) file .*(does not exist|has group or world access)"
        r"|could not (read|load|open|get) .*(certificate|CRL|private key)",
        "a file named in the TLS settings can't be used: {reason}",
        "correct sslrootcert, sslcert or sslkey, or use the system's CA bundle: sslrootcert=system",
    ),
    ConnectFailure(
        "tls_wrong_host",
        r"server certificate for .* does not match host name",
        "the certificate is not valid for this host: {reason}",
        "use a host name from the certificate, or sslmode=verify-ca to skip the host name check",
    ),
    ConnectFailure(
        "tls_not_trusted",
        r"certificate verify failed|self.signed certificate|unable to get local issuer"
        r"|signature failure",
        "the server's certificate has expired, or no trusted certificate authority signed it",
        "set the CA certificate with sslrootcert=/path/ca.crt",
    ),
    ConnectFailure(
        "pooler_options",
        r"unsupported startup parameter",
        "the pooler rejects an option of the connection string or of PGOPTIONS: {reason}",
        "remove options= from the connection string and run: unset PGOPTIONS",
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
    ),
    ConnectFailure(
        "no_standby",
        r"server is not in hot standby mode|session is not read-only",
        "no server of {host} is what target_session_attrs asks for: a standby, or read-only",
        "use target_session_attrs=prefer-standby in {source}",
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
        "start the server, or correct host and port in {source}",
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
    ),
)

COMPOSE_HOST = "db"
COMPOSE_HINT = (
    "`db` is the database's host name inside Docker Compose only: run the tool there "
    "(docker exec aperture aperture-db …), or use localhost and the published port"
)
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
LOOPBACK_HINT = (
    "start the server; inside a container {host} is the container itself: "
    "use the database service's name there"
)
