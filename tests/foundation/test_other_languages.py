"""Errors of servers that speak German and French: told by SQLSTATE, not by their text."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.errors import ApertureDbError, ConnectError
from aperture_db.postgres.connection import connect, translated_errors
from aperture_db.postgres.settings import resolve_target
from tests.cli import finish, run_cli, start_cli
from tests.servers.clusters import start_server
from tests.servers.crowded import SETTINGS as CROWDED
from tests.servers.shared import SharedServers, stop_servers
from tests.servers.speaking import LOCALES, make_locale, speaking_programs
from tests.servers.starting import start_starting_server
from tests.waiting import wait_until

PASSWORD = "visitor-password"


@pytest.fixture
def visitor(speaking_server: str) -> Iterator[str]:
    """A role without rights on such a server, in a database of its own with a table movies."""
    name = f"visitor_{secrets.token_hex(4)}"
    identifier = sql.Identifier(name)
    with psycopg.connect(speaking_server, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(identifier, sql.Literal(PASSWORD))
        )
        admin.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        with psycopg.connect(speaking_server, dbname=name, autocommit=True) as conn:
            conn.execute("CREATE TABLE movies (id serial PRIMARY KEY, title text NOT NULL)")
            conn.execute("CREATE SCHEMA other")
        yield make_conninfo(speaking_server, user=name, password=PASSWORD, dbname=name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))
        admin.execute(sql.SQL("DROP ROLE {}").format(identifier))


def administer(visitor: str, server: str, statement: str) -> None:
    """Run a statement as the superuser; {} is the name of the visitor and of its database."""
    name = sql.Identifier(str(conninfo_to_dict(visitor)["user"]))
    in_database = "postgres" if "DATABASE" in statement else str(conninfo_to_dict(visitor)["user"])
    with psycopg.connect(server, dbname=in_database, autocommit=True) as admin:
        admin.execute(sql.SQL(statement).format(name))


def refusal(conninfo: str, **changes: str) -> ConnectError:
    """The error of connecting."""
    with pytest.raises(ConnectError) as caught:
        connect(resolve_target(make_conninfo(conninfo, **changes), None, {}))
    return caught.value


def test_it_does_not_speak_english(speaking_server: str) -> None:
    with psycopg.connect(speaking_server) as conn, pytest.raises(psycopg.Error) as caught:
        conn.execute("SELECT 1 / 0")
    assert str(caught.value) in ("Division durch Null", "division par zéro")


def test_connections_that_are_refused(visitor: str, speaking_server: str) -> None:
    def code_after(statement: str, **changes: str) -> tuple[str, bool]:
        administer(visitor, speaking_server, statement)
        error = refusal(visitor, **changes)
        return error.code, error.transient

    name = conninfo_to_dict(visitor)["user"]
    nothing = "SELECT 1"
    assert code_after(nothing, password="wrong") == ("password_rejected", False)
    assert code_after(nothing, dbname="missing") == ("database_missing", False)
    assert code_after("REVOKE CONNECT ON DATABASE {} FROM PUBLIC") == (
        "no_connect_privilege", False,
    )  # fmt: skip
    administer(visitor, speaking_server, "GRANT CONNECT ON DATABASE {} TO PUBLIC")
    assert code_after("ALTER ROLE {} CONNECTION LIMIT 0") == ("too_many_connections", True)
    assert f'ALTER ROLE "{name}" CONNECTION LIMIT -1;' in refusal(visitor).next_step
    administer(visitor, speaking_server, "ALTER ROLE {} CONNECTION LIMIT -1")
    assert code_after("ALTER DATABASE {} CONNECTION LIMIT 0") == ("too_many_connections", True)
    assert f'ALTER DATABASE "{name}" CONNECTION LIMIT -1;' in refusal(visitor).next_step
    administer(visitor, speaking_server, "ALTER DATABASE {} CONNECTION LIMIT -1")
    assert code_after("ALTER ROLE {} NOLOGIN") == ("role_missing", False)
    assert f'ALTER ROLE "{name}" LOGIN;' in refusal(visitor).next_step
    administer(visitor, speaking_server, "ALTER ROLE {} LOGIN")
    assert code_after("ALTER DATABASE {} ALLOW_CONNECTIONS false") == ("database_closed", False)


def test_options_that_the_server_rejects(visitor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c no_such_setting=1")
    error = refusal(visitor)
    assert (error.code, error.next_step) == ("bad_options", "correct the options in PGOPTIONS")


@pytest.mark.parametrize("language", LOCALES)
def test_slots_used_up(servers: SharedServers, language: str) -> None:
    home = servers.directory / f"crowded_{language}_{secrets.token_hex(4)}"
    home.mkdir()
    settings = {**CROWDED, "lc_messages": make_locale(language)}
    try:
        admin = start_server(speaking_programs(language), home, settings)["conninfo"]
        with psycopg.connect(admin) as conn:
            conn.execute(f"CREATE ROLE visitor LOGIN PASSWORD '{PASSWORD}'".encode())
        visitor = make_conninfo(admin, user="visitor", password=PASSWORD)
        with ExitStack() as connections:
            wait_until(lambda: not _add(connections, visitor), "no connection is left")
            error = refusal(visitor)
    finally:
        stop_servers(home)
    assert (error.code, error.transient) == ("too_many_connections", True)
    assert "max_connections" in error.next_step


def _add(connections: ExitStack, conninfo: str) -> bool:
    with suppress(psycopg.OperationalError):
        connections.enter_context(psycopg.connect(conninfo))
        return True
    return False


def test_the_client_that_pg_hba_does_not_allow(visitor: str, speaking_server: str) -> None:
    name = conninfo_to_dict(visitor)["user"]
    with psycopg.connect(speaking_server, autocommit=True) as admin:
        row = admin.execute("SHOW hba_file").fetchone()
        assert row is not None
        file = Path(row[0])
        before = file.read_text()
        file.write_text(f"host all {name} all reject\n{before}")
        admin.execute("SELECT pg_reload_conf()")
        try:
            wait_until(lambda: not _connects(visitor), "the client is rejected")
            error = refusal(visitor)
            assert error.code == "not_allowed_from_here"
            line = error.next_step.splitlines()[1]
            assert line == f'host "{name}" "{name}" 127.0.0.1/32 scram-sha-256'
            # It is the very line.
            file.write_text(f"{line}\n{file.read_text()}")
            admin.execute("SELECT pg_reload_conf()")
            wait_until(lambda: _connects(visitor), "the client is allowed")
        finally:
            file.write_text(before)
            admin.execute("SELECT pg_reload_conf()")


def _connects(conninfo: str) -> bool:
    with suppress(psycopg.OperationalError):
        psycopg.connect(conninfo).close()
        return True
    return False


@pytest.mark.parametrize("language", LOCALES)
def test_waiting_for_a_server_that_starts_up(servers: SharedServers, language: str) -> None:
    home = servers.directory / f"starting_{language}_{secrets.token_hex(4)}"
    home.mkdir()
    settings = {"lc_messages": make_locale(language)}
    try:
        starting = start_starting_server(speaking_programs(language), home, settings)
        once = run_cli("check-extensions", conninfo=starting.conninfo)
        assert once.code == 3
        assert "why:   the server is not ready yet: " in once.err
        waiting = start_cli("check-extensions", "--wait", "100", conninfo=starting.conninfo)
        assert waiting.stderr is not None
        assert waiting.stderr.readline().startswith("waiting up to 100 s for the database")
        starting.finish()
        # It is reached: 5 says that an extension is missing.
        assert finish(waiting).code == 5
    finally:
        stop_servers(home)


@pytest.mark.parametrize(
    ("statement", "writes", "advice"),
    [
        ("SELECT * FROM public.movies", False, 'GRANT SELECT ON "public"."movies" TO'),
        ("DELETE FROM public.movies", True, 'DELETE ON "public"."movies" TO'),
        ("CREATE TABLE other.t ()", True, "GRANT USAGE, CREATE ON SCHEMA other TO"),
        (
            "SELECT nextval('public.movies_id_seq')",
            True,
            'USAGE ON SEQUENCE "public"."movies_id',
        ),
        ("SELECT pg_ls_waldir()", False, "GRANT EXECUTE ON FUNCTION pg_ls_waldir TO"),
        ("CREATE SCHEMA third", True, "GRANT CREATE ON DATABASE"),
    ],
)
def test_missing_privileges(visitor: str, statement: str, writes: bool, advice: str) -> None:
    target = resolve_target(visitor, None, {})

    def run() -> None:
        with translated_errors(target, writes=writes), connect(target) as conn:
            conn.execute(statement.encode())

    with pytest.raises(ApertureDbError) as caught:
        run()
    assert caught.value.code == "no_privilege"
    assert advice in caught.value.next_step
    assert f'"{target.user}"' in caught.value.next_step
    assert caught.value.why.startswith("permission denied for ")


def test_the_owner_is_asked_for(visitor: str, speaking_server: str) -> None:
    administer(visitor, speaking_server, "GRANT ALL ON movies TO {}")
    target = resolve_target(visitor, None, {})

    def run() -> None:
        with translated_errors(target, writes=True), connect(target) as conn:
            conn.execute("ALTER TABLE public.movies ADD COLUMN year int")

    with pytest.raises(ApertureDbError) as caught:
        run()
    assert caught.value.next_step == (
        f'as a superuser run: ALTER TABLE movies OWNER TO "{target.user}";'
    )


SENTINEL = "S3ntinel-value"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO public.secrets VALUES (1, '{0}')",
        "INSERT INTO public.secrets VALUES (2, '{0}')",
        "INSERT INTO public.secrets VALUES (3, NULL, '{0}')",
        "SELECT token::int FROM public.secrets",
        "SELECT token::json FROM public.secrets",
        "SELECT token::timestamptz FROM public.secrets",
        "SELECT public.convert_token()",
    ],
)
def test_values_are_hidden(visitor: str, speaking_server: str, statement: str) -> None:
    database = make_conninfo(speaking_server, dbname=str(conninfo_to_dict(visitor)["dbname"]))
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            "CREATE TABLE secrets (id int PRIMARY KEY, token text NOT NULL UNIQUE, other text)"
        )
        admin.execute(f"INSERT INTO secrets VALUES (1, '{SENTINEL}')".encode())
        admin.execute(
            "CREATE FUNCTION convert_token() RETURNS int LANGUAGE plpgsql AS $$BEGIN "
            "EXECUTE (SELECT format('SELECT %L::int', token) FROM public.secrets); END$$"
        )
    with connect(resolve_target(database, None, {})) as conn, pytest.raises(psycopg.Error) as it:
        conn.execute(statement.format(SENTINEL).encode())
    shown = repr(it.value) + str(it.value.diag.context) + str(it.value.diag.internal_query)
    assert SENTINEL not in shown
    assert it.value.sqlstate is not None
    if it.value.sqlstate.startswith("23"):
        assert "table secrets" in str(it.value.diag.message_detail)
    assert not re.search("[«»]", str(it.value.diag.context))
