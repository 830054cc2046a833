"""The one place where driver errors become the tool's own.

Errors while connecting carry no SQLSTATE, so their text is matched; errors of statements are
told apart by SQLSTATE. Texts of libpq never reach the user without `Target.redact`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg
from psycopg import errors as pg

from aperture_db.errors import ApertureDbError, BusyError, ConnectError, UsageError
from aperture_db.settings import Target


@dataclass(frozen=True)
class ConnectFailure:
    """One way in which connecting fails. Texts are templates over the target's parts."""

    code: str
    pattern: str
    why: str
    next_step: str
    transient: bool = False


# When several addresses of a host were tried, the message has several failures: the first entry
# that matches tells most, so those that prove a server was reached come first.
CONNECT_FAILURES = (
    ConnectFailure(
        "password_rejected",
        r"password authentication failed|no password supplied|authentication failed"
        r"|SASL authentication failed",
        "the server rejected the password of user {user}",
        "correct the password in {source}; for the bundled container it is its POSTGRES_PASSWORD",
    ),
    ConnectFailure(
        "role_missing",
        r'role ".*" does not exist|Tenant or user not found|no such user',
        "the server has no user {user}",
        "correct the user in {source}; on Supabase's pooler it is postgres.<project>",
    ),
    ConnectFailure(
        "database_missing",
        r'database ".*" does not exist|no such database',
        "the server has no database {database}",
        'correct the name in {source}, or create it: CREATE DATABASE "{database}";',
    ),
    ConnectFailure(
        "no_connect_privilege",
        r"permission denied for database|does not have CONNECT privilege",
        "user {user} may not connect to database {database}",
        'as its owner run: GRANT CONNECT ON DATABASE "{database}" TO "{user}";',
    ),
    ConnectFailure(
        "tls_required",
        r"no pg_hba.conf entry .*no encryption|no pg_hba.conf entry .*SSL off|SSL required"
        r"|connection is insecure",
        "the server accepts this user only over TLS",
        "add ?sslmode=require to the connection string",
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
        "all connections of the server are in use",
        "try again with --wait 60, stop what holds them, or raise max_connections",
        transient=True,
    ),
    ConnectFailure(
        "starting_up",
        r"the database system is (starting up|shutting down|not yet accepting|in recovery mode)",
        "the server is starting up or shutting down",
        "try again with --wait 60",
        transient=True,
    ),
    ConnectFailure(
        "tls_not_supported",
        r"server does not support SSL",
        "the connection string asks for TLS, and the server offers none",
        "set sslmode=prefer, or turn TLS on in the server (ssl = on)",
    ),
    ConnectFailure(
        "tls_certificate_missing",
        r"certificate file .*does not exist|could not (?:read|load|open) .*(?:certificate|CRL)"
        r"|private key file .*does not exist|root certificate file",
        "a certificate file that the TLS settings name can't be read",
        "correct sslrootcert, sslcert and sslkey, or use sslrootcert=system",
    ),
    ConnectFailure(
        "tls_wrong_host",
        r"server certificate for .* does not match host name",
        "the server's certificate was issued for another host name than {host}",
        "use the name in the certificate, or sslmode=verify-ca to leave the name unchecked",
    ),
    ConnectFailure(
        "tls_not_trusted",
        r"certificate verify failed|self.signed certificate|unable to get local issuer",
        "the server's certificate is not signed by an authority that is trusted here",
        "name the authority's certificate with sslrootcert=/path/ca.crt",
    ),
    ConnectFailure(
        "pooler_options",
        r"unsupported startup parameter",
        "the pooler refuses an option of the connection string or of PGOPTIONS",
        "remove options= from the connection string and unset PGOPTIONS",
    ),
    ConnectFailure(
        "timeout",
        r"timeout expired|timed out|Operation timed out",
        "no answer within {timeout} s: a firewall drops the packets, or the address is wrong",
        "check host and port in {source}, or wait longer with --connect-timeout 30",
        transient=True,
    ),
    ConnectFailure(
        "socket_missing",
        r'on socket ".*" failed: No such file or directory',
        "no server listens on the socket directory {host}",
        "start the server, or name its directory with ?host=/var/run/postgresql",
        transient=True,
    ),
    ConnectFailure(
        "connection_refused",
        r"Connection refused|actively refused",
        "nothing listens on {host} port {port}",
        "start the server; inside a container `localhost` is the container itself, "
        "so use the database service's name there",
        transient=True,
    ),
    ConnectFailure(
        "host_not_resolved",
        r"failed to resolve host|could not translate host name|[Nn]ame or service not known"
        r"|name resolution|nodename nor servname|No address associated",
        "the host name {host} is not known here",
        "correct the host in {source}, and check that this machine can resolve it",
        transient=True,
    ),
    ConnectFailure(
        "unreachable",
        r"Network is unreachable|No route to host|Cannot assign requested address",
        "there is no network route to {host}",
        "check the address and the network; some hosts have only an IPv6 address",
        transient=True,
    ),
    ConnectFailure(
        "not_postgresql",
        r"server closed the connection unexpectedly|received invalid response",
        "what listens on {host} port {port} closed the connection, so it may not be PostgreSQL",
        "check host and port in {source}, and the server's log",
        transient=True,
    ),
)

COMPOSE_SERVICE_HINT = (
    "`db` is the database's name inside Docker Compose: run the tool there "
    "(docker exec aperture aperture-db …), or use localhost and the published port"
)


def translate_connect_error(
    error: Exception, target: Target, timeout_seconds: int
) -> ConnectError | UsageError:
    """The cause of a failed connection attempt, in the user's words."""
    message = target.redact(str(error))
    what = f"can't connect to {target} (from {target.source})"
    if isinstance(error, (psycopg.ProgrammingError, UnicodeError)) or re.search(
        r"invalid .* value:|invalid (?:connection option|port number|integer value)", message
    ):
        return UsageError(
            what,
            why=_last_sentence(message),
            next_step=f"correct that setting in {target.source}",
            code="bad_connection_string",
        )
    parts = {
        "user": target.user, "host": target.host or "the local socket", "port": target.port,
        "database": target.database, "source": target.source, "timeout": timeout_seconds,
    }  # fmt: skip
    for failure in CONNECT_FAILURES:
        if re.search(failure.pattern, message):
            next_step = failure.next_step.format(**parts)
            if failure.code == "host_not_resolved" and target.host == "db":
                next_step = COMPOSE_SERVICE_HINT
            return ConnectError(
                what,
                why=failure.why.format(**parts),
                next_step=next_step,
                code=failure.code,
                transient=failure.transient,
            )
    return ConnectError(
        what,
        why=_last_sentence(message),
        next_step=f"check {target.source} and the server's log",
    )


def translate_query_error(error: psycopg.Error, target: Target) -> ApertureDbError:
    """The cause of a failed statement, in the user's words."""
    message = target.redact(error.diag.message_primary or _last_sentence(str(error)))
    server_hint = target.redact(error.diag.message_hint or "")
    match error:
        case pg.InsufficientPrivilege():
            return ApertureDbError(
                "the database refused a statement",
                why=message,
                next_step=grant_for(message, target.user),
                code="no_privilege",
            )
        case pg.ReadOnlySqlTransaction():
            return ApertureDbError(
                "the database can only be read",
                why=f"{message}; it is a standby, or default_transaction_read_only is on",
                next_step="connect to the primary server",
                code="read_only",
            )
        case pg.LockNotAvailable():
            return BusyError(
                "a lock was not obtained in time",
                why=message,
                next_step="stop what holds the lock (aperture-db health names it), then run again",
            )
        case pg.QueryCanceled():
            return ApertureDbError(
                "the server cancelled the statement",
                why=message,
                next_step="run it again at a quieter time, or raise statement_timeout",
                code="cancelled",
            )
        case _:
            return _translate_resource_error(error, message, server_hint)


def _translate_resource_error(
    error: psycopg.Error, message: str, server_hint: str
) -> ApertureDbError:
    if "shared memory segment" in message:
        return ApertureDbError(
            "the server ran out of shared memory",
            why=message,
            next_step="give the container more (shm_size: 256mb in docker-compose.yml), or run: "
            "ALTER SYSTEM SET max_parallel_maintenance_workers = 0; SELECT pg_reload_conf();",
            code="shared_memory_full",
        )
    if isinstance(error, pg.DiskFull):
        return ApertureDbError(
            "the server's disk is full",
            why=message,
            next_step="free space on the server's data volume; nothing of this command was kept",
            code="disk_full",
        )
    if isinstance(error, pg.TooManyConnections):
        return ConnectError(
            "the server gives out no further connection",
            why=message,
            next_step="try again with --wait 60, or raise max_connections",
            code="too_many_connections",
            transient=True,
        )
    if error.sqlstate is None or isinstance(error, (pg.AdminShutdown, pg.CrashShutdown)):
        return ApertureDbError(
            "the connection was lost",
            why=message,
            next_step="the server rolls back what was open; read its log, then run again",
            code="connection_lost",
        )
    return ApertureDbError(
        "the database refused a statement",
        why=f"{message} (SQLSTATE {error.sqlstate})",
        next_step=server_hint or "run again with -vv and report the output",
        code="statement_failed",
    )


OWNER_PATTERN = re.compile(r"must be owner of (?P<kind>[a-z ]+?) (?P<name>\S+)$")
DENIED_PATTERN = re.compile(r"permission denied for (?P<kind>[a-z ]+?) (?P<name>\S+)$")
GRANTS = {
    "table": "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user};",
    "sequence": "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {user};",
    "schema": "GRANT USAGE, CREATE ON SCHEMA {name} TO {user};",
    "database": "GRANT CREATE ON DATABASE {name} TO {user};",
    "function": "GRANT EXECUTE ON FUNCTION {name} TO {user};",
    "view": "GRANT pg_monitor TO {user};",
}


def grant_for(message: str, user: str) -> str:
    """What a server's message about a missing privilege asks an administrator to run."""
    quoted_user = '"' + user.replace('"', '""') + '"'
    if owner := OWNER_PATTERN.search(message):
        kind = owner["kind"].upper().replace("RELATION", "TABLE")
        return f"as a superuser run: ALTER {kind} {owner['name']} OWNER TO {quoted_user};"
    if denied := DENIED_PATTERN.search(message):
        template = GRANTS.get(denied["kind"])
        if template:
            grant = template.format(name=denied["name"], user=quoted_user)
            return f"as the owner or a superuser run: {grant}"
    return "connect as the owner of Aperture's tables or as a superuser"


def _last_sentence(message: str) -> str:
    """The telling end of libpq's message, on one line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    for line in reversed(lines):
        if not line.startswith(("Is the server running", "- host:")):
            return re.sub(r"^.*?(?:failed: (?:FATAL:\s*)?)", "", line) or line
    return lines[-1] if lines else "no reason was given"
