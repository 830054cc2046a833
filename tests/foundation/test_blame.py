"""What is blamed for a failure: the place where a setting was really made."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.postgres.connection import connect, translated_errors
from aperture_db.postgres.embedded import free_port
from aperture_db.postgres.settings import resolve_target
from tests.program import run_inside
from tests.servers.pgbouncer import start_pgbouncer, through_port
from tests.servers.roles import Rights
from tests.servers.shared import SharedServers, stop_servers
from tests.servers.tls import TlsServer


@pytest.fixture(autouse=True)
def no_pg_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


def connect_failure(url: str | None) -> ApertureDbError:
    """The error of connecting, with the variables of the environment."""
    target = resolve_target(url, None, os.environ, Path("/nowhere"))
    with pytest.raises(ApertureDbError) as caught:
        connect(target, connect_timeout_seconds=2)
    return caught.value


@pytest.mark.parametrize(
    ("name", "value", "keyword"),
    [
        ("PGSSLMODE", "sometimes", "sslmode"),
        ("PGTARGETSESSIONATTRS", "x", "target_session_attrs"),
        ("PGSERVICE", "missing", "service"),
        ("PGCHANNELBINDING", "x", "channel_binding"),
        ("PGGSSENCMODE", "x", "gssencmode"),
    ],
)
def test_a_variable_that_libpq_refuses(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, keyword: str
) -> None:
    monkeypatch.setenv(name, value)
    for url in ("postgresql://u@127.0.0.1/d", None):
        monkeypatch.setenv("PGHOST", "127.0.0.1")
        error = connect_failure(url)
        assert isinstance(error, UsageError)
        assert error.next_step == f"correct {keyword} in {name}"


def test_a_setting_of_a_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "services"
    port = free_port()
    file.write_text(f"[aperture]\nhost=127.0.0.1\nport={port}\nuser=u\ndbname=d\nsslmode=maybe\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    for url in ("postgresql://?service=aperture", None):
        if url is None:
            monkeypatch.setenv("PGSERVICE", "aperture")
        assert connect_failure(url).next_step == "correct sslmode in service aperture"
    file.write_text(file.read_text().replace("sslmode=maybe\n", ""))
    error = connect_failure(None)
    assert error.code == "connection_refused"
    assert "correct host and port in service aperture" not in error.why
    monkeypatch.delenv("PGSERVICE")
    monkeypatch.setenv("PGHOST", "127.0.0.2")
    monkeypatch.setenv("PGPORT", str(port))
    assert "correct host and port in PGHOST" in connect_failure(None).next_step


def test_variables_that_a_server_refuses(
    admin_conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {key: str(value) for key, value in conninfo_to_dict(admin_conninfo).items()}
    monkeypatch.setenv("PGSSLMODE", "require")
    error = connect_failure(admin_conninfo)
    assert error.why == "sslmode=require requires TLS, and the server does not support it"
    assert error.next_step.startswith("set sslmode=prefer in PGSSLMODE, or ")
    monkeypatch.delenv("PGSSLMODE")
    monkeypatch.setenv("PGOPTIONS", "-c no_such_setting=1")
    assert connect_failure(admin_conninfo).next_step == "correct the options in PGOPTIONS"
    monkeypatch.delenv("PGOPTIONS")
    monkeypatch.setenv("PGPASSWORD", "wrong")
    assert "correct user and password in PGPASSWORD" in (
        connect_failure(make_conninfo(admin_conninfo, password="")).next_step
    )
    for name, key in (("PGHOST", "host"), ("PGPORT", "port"), ("PGUSER", "user")):
        monkeypatch.setenv(name, parts[key])
    monkeypatch.setenv("PGPASSWORD", parts["password"])
    monkeypatch.setenv("PGDATABASE", "missing")
    assert connect_failure(None).next_step.startswith("correct the name in PGDATABASE, or ")


@pytest.mark.parametrize("option", ["sslmode=no-verify", "ssl=no-verify", "PGSSLMODE"])
@pytest.mark.parametrize("named_by", ["PGSSLROOTCERT", "HOME"])
def test_encryption_without_verification(
    tls_server: TlsServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    option: str,
    named_by: str,
) -> None:
    file = tmp_path / ".postgresql" / "root.crt"
    file.parent.mkdir()
    file.write_bytes(Path(tls_server.other_authority).read_bytes())
    monkeypatch.setenv(named_by, str(tmp_path if named_by == "HOME" else file))
    parts = conninfo_to_dict(tls_server.conninfo)
    url = "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**parts)
    assert connect_failure(f"{url}?sslmode=require").code == "tls_not_trusted"
    if option == "PGSSLMODE":
        monkeypatch.setenv(option, "no-verify")
    else:
        url = f"{url}?{option}"
    with connect(resolve_target(url, None, os.environ)) as conn:
        assert conn.pgconn.ssl_in_use


def test_an_unknown_value_of_ssl_does_not_drop_encryption() -> None:
    with pytest.raises(UsageError) as caught:
        resolve_target("postgresql://h/d?ssl=please", None, {})
    assert caught.value.why == "the value of its option ssl is not known"


READ_ONLY = {
    "database": "ALTER DATABASE {database} SET default_transaction_read_only = on",
    "role": "ALTER ROLE {role} SET default_transaction_read_only = on",
    "both": "ALTER ROLE {role} IN DATABASE {database} SET default_transaction_read_only = on",
}


@pytest.mark.parametrize("place", READ_ONLY)
def test_a_read_only_default(
    new_database: Callable[[], str],
    limited_role: Callable[[str, Rights], str],
    admin_conninfo: str,
    place: str,
) -> None:
    role = limited_role(new_database(), "owner")
    names = {
        "role": sql.Identifier(str(conninfo_to_dict(role)["user"])),
        "database": sql.Identifier(str(conninfo_to_dict(role)["dbname"])),
    }
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        admin.execute(sql.SQL(READ_ONLY[place]).format(**names))
        refused = run_inside("migrate", database=role)
        assert refused.code == 1
        assert "error: the database is read-only" in refused.err
        assert "why:   default_transaction_read_only is on" in refused.err
        advice = refused.err.partition("superuser run: ")[2].partition(";")[0]
        # As for a statement that fails in the midst of something.
        target = resolve_target(role, None, {})
        with pytest.raises(ApertureDbError) as caught:
            create_table(role)
        assert caught.value.next_step == f"as its owner or a superuser run: {advice};"
        admin.execute(advice.encode())
    create_table(role)
    assert target.user in role


def create_table(conninfo: str) -> None:
    """Write something."""
    target = resolve_target(conninfo, None, {})
    with translated_errors(target, writes=True), connect(target) as conn:
        conn.execute("CREATE TABLE public.written ()")


def test_a_read_only_default_of_pgoptions(
    new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = new_database()
    with monkeypatch.context() as during:
        during.setenv("PGOPTIONS", "-c default_transaction_read_only=on")
        with pytest.raises(ApertureDbError) as caught:
            create_table(database)
    assert caught.value.next_step == (
        "remove default_transaction_read_only from the options of the connection string, or from "
        "PGOPTIONS"
    )


def test_a_pooler_that_hands_out_statements(servers: SharedServers, admin_conninfo: str) -> None:
    home = servers.directory / f"statements_{secrets.token_hex(4)}"
    home.mkdir()
    try:
        port = start_pgbouncer(home, admin_conninfo, "statement")["port"]
        done = run_inside("stats", database=through_port(admin_conninfo, port))
    finally:
        stop_servers(home)
    assert done.code == 3
    assert "error: the connection pooler refuses transactions" in done.err
    assert "next:  set pool_mode = transaction in PgBouncer's configuration" in done.err
