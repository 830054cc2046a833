"""What the user reads when there is no connection, against real servers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.errors import ApertureDbError, ConnectError, UsageError
from aperture_db.postgres.connection import connect, require_server_version
from aperture_db.postgres.driver_errors import translate_connect_error
from aperture_db.postgres.embedded import free_port
from aperture_db.postgres.settings import resolve_target
from aperture_db.postgres.target import Target
from tests.foundation.listeners import close_at_once, listening, speak_http, stay_silent
from tests.servers.crowded import CrowdedServer
from tests.servers.roles import Rights
from tests.servers.starting import StartingServer
from tests.servers.tls import TlsServer


def failure(conninfo: str, **changes: str) -> ApertureDbError:
    """The error of connecting to `conninfo` with some parameters changed."""
    target = resolve_target(make_conninfo(conninfo, **changes), None, {})
    with pytest.raises(ApertureDbError) as caught:
        connect(target, connect_timeout_seconds=2)
    return caught.value


def told(error: ApertureDbError) -> list[str]:
    """Why and what next, with the ports that differ from run to run left out."""
    return [re.sub(r"\bport \d{4,5}\b", "port 5432", text) for text in (error.why, error.next_step)]


def assert_transient(error: ApertureDbError, expected: bool) -> None:
    assert isinstance(error, ConnectError)
    assert error.transient is expected
    assert error.exit_code == 3


def test_refused() -> None:
    port = free_port()
    error = failure(f"host=localhost port={port} user=u dbname=d")
    assert error.what == f"can't connect to u@localhost:{port}/d (from --database-url)"
    assert error.code == "connection_refused"
    assert told(error) == [
        "connection refused: nothing listens on localhost port 5432",
        (
            f"start the server (check with: pg_isready -h localhost -p {port}); inside a container "
            "localhost is the container itself: use the database service's name there"
        ),
    ]
    assert_transient(error, True)


def test_refused_by_another_host_and_by_several() -> None:
    port = str(free_port())
    error = failure(f"host=127.0.0.2 port={port}")
    assert told(error) == [
        "connection refused: nothing listens on 127.0.0.2 port 5432",
        (
            "start the server, correct host and port in --database-url, or let the server listen "
            "on that address (listen_addresses, the container's published port, a firewall); check "
            f"with: pg_isready -h 127.0.0.2 -p {port}"
        ),
    ]
    assert failure(f"host=127.0.0.2,127.0.0.3 port={port}").code == "connection_refused"


def test_no_socket(tmp_path: Path) -> None:
    error = failure(f"host={tmp_path} user=u dbname=d")
    assert error.code == "socket_missing"
    assert told(error) == [
        f"no server listens on port 5432 in the socket directory {tmp_path}",
        "start the server, or set its socket directory with ?host=/var/run/postgresql",
    ]
    assert_transient(error, True)


def test_host_not_resolved() -> None:
    error = failure("host=database.invalid user=u dbname=d")
    assert error.code == "host_not_resolved"
    assert told(error) == [
        "could not resolve host database.invalid",
        (
            "correct the host in --database-url, or check name resolution with: "
            "getent hosts database.invalid"
        ),
    ]
    assert_transient(error, True)


def test_the_compose_name_db_outside_docker() -> None:
    error = failure("host=db user=aperture dbname=aperture")
    assert error.code == "host_not_resolved"
    assert told(error) == [
        "could not resolve host db",
        (
            "`db` is the database's host name inside Docker Compose only: run the tool there "
            "(docker exec aperture aperture-db …), or use localhost and the published port"
        ),
    ]


def test_no_answer() -> None:
    with listening(stay_silent) as port:
        error = failure(f"host=127.0.0.1 port={port}")
    assert error.code == "timeout"
    assert told(error) == [
        "no answer within 2 s: a firewall may drop the packets, or the address is wrong",
        "correct host and port in --database-url, or wait longer with --connect-timeout 30",
    ]
    assert_transient(error, True)


def test_not_postgresql() -> None:
    with listening(speak_http) as port:
        error = failure(f"host=127.0.0.1 port={port}")
    assert error.code == "not_postgresql"
    assert told(error) == [
        "the service on 127.0.0.1 port 5432 is not PostgreSQL",
        "correct host and port in --database-url",
    ]
    assert_transient(error, False)


def test_closed_at_once() -> None:
    with listening(close_at_once) as port:
        error = failure(f"host=127.0.0.1 port={port}")
    assert error.code == "closed_at_once"
    assert told(error) == [
        (
            "the service on 127.0.0.1 port 5432 closed the connection: "
            "it is starting up, or is not PostgreSQL"
        ),
        "try again with --wait 60, or correct host and port in --database-url",
    ]
    assert_transient(error, True)


def test_wrong_password(admin_conninfo: str) -> None:
    error = failure(admin_conninfo, password="wrong")
    assert error.code == "password_rejected"
    assert told(error) == [
        (
            "password authentication failed for user postgres: the password is wrong or has "
            "expired, or there is no such role"
        ),
        (
            "correct user and password in --database-url (percent-encoded in a URL: @ is %40, / is "
            "%2F, # is %23); that of the bundled container is POSTGRES_PASSWORD"
        ),
    ]
    assert_transient(error, False)


def test_wrong_password_of_a_password_file(
    admin_conninfo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pgpass"
    file.write_text("*:*:*:*:wrong\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    error = failure(admin_conninfo, password="")
    assert error.next_step.startswith(f"correct user and password in {file} (")


def test_no_password(admin_conninfo: str) -> None:
    error = failure(admin_conninfo, password="")
    assert error.code == "password_missing"
    assert told(error) == [
        "the server requires a password for user postgres, and none was given",
        "add it to the connection string (from --database-url), or set PGPASSWORD",
    ]


def test_database_missing(admin_conninfo: str) -> None:
    error = failure(admin_conninfo, dbname='no "such" database')
    assert error.code == "database_missing"
    assert told(error) == [
        'database no "such" database does not exist',
        'correct the name in --database-url, or create it: CREATE DATABASE "no ""such"" database";',
    ]
    assert_transient(error, False)


def test_role_missing(tls_server: TlsServer) -> None:
    error = failure(tls_server.conninfo, user="ghost")
    assert error.code == "role_missing"
    assert told(error) == [
        "role ghost does not exist",
        "correct the user in --database-url; on Supabase's pooler it is postgres.<project>",
    ]
    assert_transient(error, False)


def test_role_without_login(
    new_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    database = new_database()
    role = limited_role(database, "none")
    name = conninfo_to_dict(role)["user"]
    with psycopg.connect(database) as admin:
        admin.execute(f'ALTER ROLE "{name}" NOLOGIN')
    error = failure(role)
    assert error.code == "role_without_login"
    assert told(error) == [
        f"role {name} is not permitted to log in",
        f'as a superuser run: ALTER ROLE "{name}" LOGIN;',
    ]


def test_no_connect_privilege(
    new_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    role = limited_role(new_database(), "no_connect")
    user, database = (conninfo_to_dict(role)[key] for key in ("user", "dbname"))
    error = failure(role)
    assert error.code == "no_connect_privilege"
    assert told(error) == [
        f"user {user} does not have the CONNECT privilege on database {database}",
        f'as its owner run: GRANT CONNECT ON DATABASE "{database}" TO "{user}";',
    ]
    assert_transient(error, False)


def test_not_allowed_from_here(tls_server: TlsServer) -> None:
    error = failure(tls_server.conninfo, user="stranger")
    assert error.code == "not_allowed_from_here"
    assert told(error) == [
        "the server's pg_hba.conf does not allow user stranger from this machine",
        (
            "add this line to the server's pg_hba.conf (SHOW hba_file;), above any that rejects "
            "this client, and run SELECT pg_reload_conf();\n"
            'host "postgres" "stranger" 127.0.0.1/32 scram-sha-256'
        ),
    ]


def test_tls_required(tls_server: TlsServer) -> None:
    error = failure(tls_server.conninfo, user="tls_only", sslmode="disable")
    assert error.code == "tls_required"
    assert told(error) == [
        "the server accepts this user only over TLS, and sslmode=disable is set",
        "set sslmode=require in --database-url",
    ]


def test_tls_not_supported(admin_conninfo: str) -> None:
    error = failure(admin_conninfo, sslmode="require")
    assert error.code == "tls_not_supported"
    assert told(error) == [
        "sslmode=require requires TLS, and the server does not support it",
        (
            "set sslmode=prefer in --database-url, or enable TLS in the server: "
            "ALTER SYSTEM SET ssl = on;"
        ),
    ]
    assert_transient(error, False)


def test_certificate_file_missing(tls_server: TlsServer) -> None:
    error = failure(tls_server.conninfo, sslmode="verify-full", sslrootcert="/no/ca.crt")
    assert error.code == "tls_certificate_missing"
    assert told(error) == [
        (
            "a file named in the TLS settings can't be used: "
            'root certificate file "/no/ca.crt" does not exist'
        ),
        (
            "correct sslrootcert, sslcert or sslkey in --database-url, or use the system's CA "
            "bundle: sslrootcert=system"
        ),
    ]
    assert_transient(error, False)


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_certificate_file_unusable(tls_server: TlsServer, tmp_path: Path, content: str) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(content)
    error = failure(tls_server.conninfo, sslmode="verify-full", sslrootcert=str(file))
    assert error.code == "tls_certificate_missing"


def test_client_key_that_others_can_read(tls_server: TlsServer, tmp_path: Path) -> None:
    certificate, key = tmp_path / "client.crt", tmp_path / "client.key"
    certificate.write_bytes(Path(tls_server.authority).read_bytes())
    key.write_text("")
    key.chmod(0o666)
    error = failure(
        tls_server.conninfo, sslmode="require", sslcert=str(certificate), sslkey=str(key)
    )
    assert error.code == "tls_certificate_missing"


def test_certificate_for_another_host(tls_server: TlsServer) -> None:
    error = failure(
        tls_server.under_another_name, sslmode="verify-full", sslrootcert=tls_server.authority
    )
    assert error.code == "tls_wrong_host"
    assert told(error) == [
        (
            "the certificate is not valid for this host: "
            'server certificate for "localhost" (and 1 other name) does not match host name '
            '"127.0.0.1"'
        ),
        (
            "use a host name from the certificate, or set sslmode=verify-ca in --database-url to "
            "skip the host name check"
        ),
    ]
    assert_transient(error, False)


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_certificate_not_trusted(tls_server: TlsServer, mode: str) -> None:
    error = failure(tls_server.conninfo, sslmode=mode, sslrootcert=tls_server.other_authority)
    assert error.code == "tls_not_trusted"
    assert told(error) == [
        ("the server's certificate has expired, or no trusted certificate authority signed it"),
        "set the CA certificate with sslrootcert=/path/ca.crt",
    ]
    assert_transient(error, False)


def test_a_trusted_certificate(tls_server: TlsServer) -> None:
    conninfo = make_conninfo(
        tls_server.conninfo, sslmode="verify-full", sslrootcert=tls_server.authority
    )
    with connect(resolve_target(conninfo, None, {})) as conn:
        assert conn.pgconn.ssl_in_use


def test_too_many_connections(crowded_server: CrowdedServer) -> None:
    error = failure(crowded_server.visitor)
    assert error.code == "too_many_connections"
    assert told(error) == [
        (
            "the server has no free connection slots: remaining connection slots are reserved for "
            "roles with the SUPERUSER attribute"
        ),
        "try again with --wait 60, close other connections, or raise max_connections",
    ]
    assert_transient(error, True)


def test_too_many_connections_of_one_role(
    new_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    database = new_database()
    role = limited_role(database, "none")
    name = conninfo_to_dict(role)["user"]
    with psycopg.connect(database) as admin:
        admin.execute(f'ALTER ROLE "{name}" CONNECTION LIMIT 0')
    error = failure(role)
    assert error.code == "too_many_connections"
    assert told(error) == [
        f"role {name} has as many connections as its CONNECTION LIMIT allows",
        (
            "close connections of that role, or as a superuser run: "
            f'ALTER ROLE "{name}" CONNECTION LIMIT -1;'
        ),
    ]


def test_starting_up(starting_server: StartingServer) -> None:
    error = failure(starting_server.conninfo)
    assert error.code == "starting_up"
    assert told(error) == [
        "the server is not ready yet: the database system is starting up",
        "try again with --wait 60",
    ]
    assert_transient(error, True)


def test_pooler(pgbouncer_conninfo: Callable[[str], str], admin_conninfo: str) -> None:
    pooled = pgbouncer_conninfo(admin_conninfo)
    error = failure(pooled, options="-c search_path=public")
    assert error.code == "pooler_options"
    assert told(error) == [
        (
            "the pooler rejects a parameter of --database-url: "
            "unsupported startup parameter: options"
        ),
        "remove the options from --database-url, or connect to the server's own port",
    ]
    assert failure(pooled, password="wrong").code == "password_rejected"
    assert failure(pooled, dbname="missing").code == "database_missing"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"port": "99999"}, 'invalid port number: "99999"'),
        ({"sslmode": "sometimes"}, 'invalid sslmode value: "sometimes"'),
        ({"port": "abc"}, 'invalid integer value "abc" for connection option "port"'),
        ({"service": "missing"}, 'definition of service "missing" not found'),
        (
            {"sslmode": "require", "sslrootcert": "system"},
            'weak sslmode "require" may not be used with sslrootcert=system (use "verify-full")',
        ),
    ],
)
def test_settings_that_libpq_refuses(changes: dict[str, str], why: str) -> None:
    error = failure("host=127.0.0.1 user=u dbname=d", **changes)
    assert isinstance(error, UsageError)
    assert error.why == why
    assert error.next_step == f"correct {next(iter(changes))} in --database-url"


def test_a_server_that_is_too_old() -> None:
    target = Target({"host": "h", "user": "u", "dbname": "d"}, "DATABASE_URL")
    require_server_version(140000, target)
    with pytest.raises(ConnectError) as caught:
        require_server_version(130022, target)
    error = caught.value
    assert error.what == "the server at u@h:5432/d is too old"
    assert error.why == "it is PostgreSQL 13, and Aperture needs 14 or newer"
    assert error.next_step == "upgrade the server, for example to the image pgvector/pgvector:pg16"
    assert (error.code, error.transient) == ("server_too_old", False)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("FATAL:  Tenant or user not found", "role_missing"),
        ("FATAL:  MaxClientsInSessionMode: max clients reached", "too_many_connections"),
        ("FATAL:  sorry, too many clients already", "too_many_connections"),
        ("FATAL:  no more connections allowed (max_client_conn)", "too_many_connections"),
        ("FATAL:  SSL required", "tls_required"),
        ("ERROR:  connection is insecure (try using `sslmode=require`)", "tls_required"),
        ("SSL error: provider signature failure", "tls_not_trusted"),
        ("Network is unreachable", "unreachable"),
        ("No route to host", "unreachable"),
        ("Connection timed out", "timeout"),
        ("FATAL:  the database system is shutting down", "starting_up"),
        ("FATAL:  the database system is in recovery mode", "starting_up"),
        ("FATAL:  the database system is not yet accepting connections", "starting_up"),
        ("FATAL:  pgbouncer cannot connect to server", "pooler_without_server"),
        (
            (
                'FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "u", database "d", '
                "no encryption"
            ),
            "not_allowed_from_here",
        ),
        ("FATAL:  Passwort-Authentifizierung fehlgeschlagen", "cannot_connect"),
    ],
)
def test_texts_of_servers_and_poolers_that_are_not_at_hand(message: str, code: str) -> None:
    libpq = f'connection failed: connection to server at "10.0.0.1", port 5432 failed: {message}\n'
    target = Target({"host": "h", "user": "u", "dbname": "d"}, "DATABASE_URL")
    error = translate_connect_error(psycopg.OperationalError(libpq), target, 5)
    assert error.code == code
    if code == "cannot_connect":
        assert error.why == "Passwort-Authentifizierung fehlgeschlagen"
        assert error.next_step == "check DATABASE_URL, and read the server's log"
