"""psql of the right version starts on the configured database, and is told the password in
secret."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.dumps import programs
from tests.cli import Outcome, run_cli
from tests.program import run_inside
from tests.terminal import run_at_terminal, words_of

NewDatabase = Callable[[], str]
PASSWORD = "S3ntinel p@ss:w%41/?#&'\"\\$`;=!*é "
# Prints what it was given, in the place of psql.
STAND_IN = """#!/bin/sh
echo "arguments: $*"
env
"""


@pytest.fixture
def role(admin_conninfo: str) -> Iterator[str]:
    """A role with the odd password."""
    name = f"test psql {secrets.token_hex(4)}"
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        statement = "CREATE ROLE {} LOGIN PASSWORD {}"
        admin.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(PASSWORD)))
        yield name
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def url_for(role: str, conninfo: str) -> str:
    parts = conninfo_to_dict(conninfo)
    account = f"{quote(role, safe='')}:{quote(PASSWORD, safe='')}"
    return f"postgresql://{account}@{parts['host']}:{parts['port']}/{parts['dbname']}"


def with_stand_in(directory: Path, psql: str = STAND_IN) -> str:
    """Client programs that are chosen before all others; returns the PATH that finds them."""
    version = f"{programs.newest_programs().major}.0"
    scripts = {"psql": psql} | {
        name: f'#!/bin/sh\necho "{name} (PostgreSQL) {version}"\n'
        for name in ("pg_dump", "pg_restore")
    }
    for name, script in scripts.items():
        (directory / name).write_text(script)
        (directory / name).chmod(0o755)
    return f"{directory}:/usr/bin:/bin"


def ask(statement: str, *options: str, conninfo: str | None = None, **variables: str) -> Outcome:
    return run_cli("psql", *options, "--", "-XAtc", statement, conninfo=conninfo, **variables)


def test_a_script_asks_with_c(new_database: NewDatabase) -> None:
    conninfo = new_database()
    statement = "SELECT current_database(), current_setting('application_name')"
    done = ask(statement, conninfo=conninfo)
    name = conninfo_to_dict(conninfo)["dbname"]
    assert (done.code, done.out, done.err) == (0, f"{name}|aperture-db\n", "")


def test_standard_input_and_the_exit_code_are_psql_s(new_database: NewDatabase) -> None:
    done = run_cli(
        "psql", "--", "-X", "-v", "ON_ERROR_STOP=1",
        conninfo=new_database(), stdin="SELECT 6 * 7 AS answer;\nSELECT 1 / 0;\n",
    )  # fmt: skip
    assert "42" in done.out
    assert "division by zero" in done.err
    assert done.code == 3


def test_a_person_gets_a_prompt(new_database: NewDatabase) -> None:
    conninfo = new_database()
    code, shown = run_at_terminal(
        "psql", "--", "-X", conninfo=conninfo, typed="SELECT 6 * 7 AS answer;\n\\q\n"
    )
    assert code == 0
    assert f"{conninfo_to_dict(conninfo)['dbname']}=#" in shown
    assert "answer -------- 42 (1 row)" in words_of(shown)


def test_every_source_of_the_connection_string(
    role: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = new_database()
    url = url_for(role, conninfo)
    file = tmp_path / "url"
    file.write_text(f"{url}\n")
    env_file = tmp_path / "some.env"
    env_file.write_text(f"DATABASE_URL={url}\n")
    parts = conninfo_to_dict(conninfo)
    pg = {
        "PGHOST": str(parts["host"]), "PGPORT": str(parts["port"]), "PGUSER": role,
        "PGDATABASE": str(parts["dbname"]), "PGPASSWORD": PASSWORD,
    }  # fmt: skip
    ways: list[tuple[list[str], dict[str, str]]] = [
        (["-d", url], {}),
        ([], {"DATABASE_URL": f'"{url}"'}),
        ([], {"DATABASE_URL_FILE": str(file)}),
        (["--env-file", str(env_file)], {}),
        ([], pg),
    ]
    for options, variables in ways:
        done = ask("SELECT current_user", *options, **variables)
        assert (done.code, done.out) == (0, f"{role}\n"), done.err
        assert "S3ntinel" not in done.err


def test_a_raw_password(admin_conninfo: str, role: str, new_database: NewDatabase) -> None:
    raw = "S3nt@inel% raw"
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
        admin.execute(statement.format(sql.Identifier(role), sql.Literal(raw)))
    parts = conninfo_to_dict(new_database())
    url = f"postgresql://{role}:{raw}@{parts['host']}:{parts['port']}/{parts['dbname']}"
    done = ask("SELECT current_user", conninfo=url)
    assert (done.code, done.out) == (0, f"{role}\n"), done.err


def test_the_password_is_in_no_argument(
    role: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    url = url_for(role, new_database())
    path = with_stand_in(tmp_path)
    done = run_cli(
        "psql", "-v", "-d", url, "--", "-c", "SELECT 1",
        PATH=path, PGOPTIONS="-c geqo=off", PGCLIENTENCODING="latin1", PAGER="less", TERM="dumb",
    )  # fmt: skip
    arguments, *variables = done.out.splitlines()
    assert (done.code, arguments) == (0, "arguments: -c SELECT 1"), done.err
    assert f"PGPASSWORD={PASSWORD}" in variables
    assert {"PGAPPNAME=aperture-db", f"PGUSER={role}", "PAGER=less", "TERM=dumb"} <= {*variables}
    assert not any(line.startswith("PGCLIENTENCODING") for line in variables)
    assert "S3ntinel" not in done.err


def test_through_a_pooler(
    pgbouncer_conninfo: Callable[[str], str], new_database: NewDatabase
) -> None:
    conninfo = new_database()
    done = ask("SELECT current_database()", conninfo=pgbouncer_conninfo(conninfo))
    assert (done.code, done.out) == (0, f"{conninfo_to_dict(conninfo)['dbname']}\n"), done.err


def test_the_version_that_knows_the_server() -> None:
    newest = programs.newest_programs()
    assert programs.psql_for_server(newest.major * 10_000) == newest.psql
    # An older psql still runs SQL, and warns by itself.
    assert programs.psql_for_server(1_000_000) == newest.psql
    assert programs.psql_for_server(140_000).is_file()


@pytest.mark.parametrize("found", [True, False], ids=["left out", "no programs"])
def test_without_any_psql(
    found: bool, new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = (programs.ClientPrograms(tmp_path, (16, 4)),) if found else ()
    monkeypatch.setattr(programs, "installed_programs", lambda _path: installed)
    done = run_inside("psql", database=new_database())
    assert done.code == 7
    assert "no psql is installed" in done.err
    assert (str(tmp_path) in done.err) == found
    assert "next:  install it: " in done.err


def test_a_server_that_is_not_there() -> None:
    done = ask("SELECT 1", conninfo="postgresql://someone@127.0.0.1:1/nothing")
    assert done.code == 3
    assert "connection refused" in done.err.lower()


def test_json_is_refused(new_database: NewDatabase) -> None:
    done = ask("SELECT 1", "--json", conninfo=new_database())
    assert done.code == 2
    assert done.envelope["error"]["next"] == "aperture-db psql -- --csv -XAtc 'SELECT 1'"


def test_secrets_without_a_variable_go_through_a_file_without_a_name(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    script = '#!/bin/sh\ncat "$PGSERVICEFILE"; stat -L -c %h "$PGSERVICEFILE"; exit 5\n'
    path = with_stand_in(tmp_path, script)
    conninfo = make_conninfo(new_database(), sslpassword="S3ntinel")
    done = run_cli("psql", conninfo=conninfo, PATH=path)
    assert done.code == 5, done.err
    assert "sslpassword=S3ntinel" in done.out
    assert done.out.splitlines()[-1] == "0"
