"""A password never appears in what the tool prints, whatever goes wrong and wherever it is from."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.postgres.embedded import free_port
from aperture_db.postgres.target import PG_TARGET_VARIABLES
from tests.cli import Outcome
from tests.foundation.listeners import close_at_once, listening
from tests.foundation.running import run_probe
from tests.program import run_inside

# Each end is found in every encoding; between them is what URLs, shells and env files take
# specially. What can't stand raw in a URL is left out of the raw form.
PASSWORD = "S3ntinel@:% $\"'\\`#/?Zebr4"
RAW_PASSWORD = PASSWORD.replace("#/?", "")
ENDS = ("S3ntinel", "Zebr4")
OUTPUTS = (["-vv"], ["-vv", "--json"])

Ways = list[tuple[list[str], dict[str, str]]]


@pytest.fixture
def roles(admin_conninfo: str) -> Iterator[dict[str, str]]:
    """A role for each form of the password: its name by the password."""
    named = {
        password: f"test_secret_{secrets.token_hex(4)}" for password in (PASSWORD, RAW_PASSWORD)
    }
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        for password, name in named.items():
            admin.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(name), sql.Literal(password)
                )
            )
        yield named
        for name in named.values():
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def ways_to_say(roles: dict[str, str], server: dict[str, str], directory: Path) -> Ways:
    """Command lines and environments that name the server, one for each way there is."""
    where = f"{server['host']}:{server['port']}/{server['dbname']}"
    encoded = f"postgresql://{roles[PASSWORD]}:{quote(PASSWORD, safe='')}@{where}"
    raw = f"postgresql://{roles[RAW_PASSWORD]}:{RAW_PASSWORD}@{where}"
    pairs = make_conninfo(**server, user=roles[PASSWORD], password=PASSWORD)
    file = directory / "url"
    file.write_text(f"{raw}\n")
    env_file = directory / "some.env"
    env_file.write_text(f"DATABASE_URL={raw}\n")
    pg = {
        "PGHOST": server["host"], "PGPORT": server["port"], "PGDATABASE": server["dbname"],
        "PGUSER": roles[PASSWORD], "PGPASSWORD": PASSWORD,
    }  # fmt: skip
    without_password = f"postgresql://{roles[PASSWORD]}@{where}"
    return [
        (["-d", encoded], {}),
        (["-d", raw], {}),
        (["-d", pairs], {}),
        ([], {"DATABASE_URL": f'"{raw}"'}),
        ([], {"DATABASE_URL_FILE": str(file)}),
        (["--env-file", str(env_file)], {}),
        ([], pg),
        (["-d", without_password], {"PGPASSWORD": PASSWORD}),
    ]


def assert_no_secret(outcome: Outcome) -> None:
    printed = outcome.out + outcome.err
    for end in ENDS:
        assert end not in printed, printed


@pytest.fixture
def server(admin_conninfo: str) -> dict[str, str]:
    """Where the embedded server is, in libpq's keywords."""
    values = conninfo_to_dict(admin_conninfo)
    return {name: str(values[name]) for name in ("host", "port", "dbname")}


def test_every_way_leads_to_the_server_and_hides_the_password(
    roles: dict[str, str], server: dict[str, str], tmp_path: Path
) -> None:
    for arguments, variables in ways_to_say(roles, server, tmp_path):
        done = run_probe(*arguments, "-vv", "--sql", "SELECT 'yes'", **variables)
        assert (done.code, done.out) == (0, "yes\n"), done.err
        assert_no_secret(done)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"dbname": "missing"}, 3),
        ({"host": "nowhere.invalid"}, 3),
        ({"port": str(free_port())}, 3),
        ({"port": "99999"}, 2),
    ],
    ids=lambda value: "".join(value) if isinstance(value, dict) else "",
)
def test_when_there_is_no_connection(
    changes: dict[str, str],
    code: int,
    roles: dict[str, str],
    server: dict[str, str],
    tmp_path: Path,
) -> None:
    ways = ways_to_say(roles, server | changes, tmp_path)
    for (arguments, variables), output in zip(ways, itertools.cycle(OUTPUTS), strict=False):
        done = run_probe(*arguments, *output, **variables)
        assert done.code == code, done.err
        assert_no_secret(done)


def test_when_the_server_rejects_the_password(
    roles: dict[str, str], server: dict[str, str], tmp_path: Path, admin_conninfo: str
) -> None:
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        for name in roles.values():
            admin.execute(sql.SQL("ALTER ROLE {} PASSWORD 'other'").format(sql.Identifier(name)))
    ways = ways_to_say(roles, server, tmp_path)
    for (arguments, variables), output in zip(ways, itertools.cycle(OUTPUTS), strict=False):
        done = run_probe(*arguments, *output, **variables)
        assert done.code == 3
        assert_no_secret(done)


def test_when_something_else_listens(roles: dict[str, str], tmp_path: Path) -> None:
    with listening(close_at_once) as port:
        server = {"host": "127.0.0.1", "port": str(port), "dbname": "d"}
        for arguments, variables in ways_to_say(roles, server, tmp_path):
            done = run_probe(*arguments, "-vv", **variables)
            assert done.code == 3
            assert_no_secret(done)


@pytest.mark.parametrize("output", OUTPUTS, ids=" ".join)
def test_when_the_server_or_a_bug_repeats_it(
    output: list[str], roles: dict[str, str], server: dict[str, str]
) -> None:
    where = f"{server['host']}:{server['port']}/{server['dbname']}"
    url = f"postgresql://{roles[PASSWORD]}:{quote(PASSWORD, safe='')}@{where}"
    literal = PASSWORD.replace("'", "''")
    for arguments in (
        ["--sql", f"SELECT '{literal}'::int"],
        ["--sql", f"DO $x$BEGIN RAISE 'no' USING DETAIL = '{literal}', HINT = '{literal}'; END$x$"],
        ["--crash", PASSWORD],
        ["--crash", f"{url} {PASSWORD!r}"],
    ):
        done = run_probe("-q", "-d", url, *arguments, *output)
        assert done.code == 1, done.err
        assert re.search(r"\*{8}|…|syntax for type integer$", done.err, re.MULTILINE)
        assert_no_secret(done)


UNREADABLE = f"postgresql://u:{PASSWORD}@h/d"


@pytest.mark.parametrize(
    "say",
    [
        lambda _path: (["-d", UNREADABLE], {}),
        lambda _path: (["-d", UNREADABLE.replace("postgresql", "mysql")], {}),
        lambda _path: (["-d", f"host=h password={RAW_PASSWORD} dbname=d"], {}),
        lambda _path: (["-d", RAW_PASSWORD], {}),
        lambda _path: ([], {"DATABASE_URL": UNREADABLE}),
        lambda path: ([], {"DATABASE_URL_FILE": str(path)}),
        lambda path: (["--env-file", str(path)], {}),
        lambda _path: ([UNREADABLE], {}),
        lambda _path: ([f"host=h password={PASSWORD}"], {}),
        lambda _path: (["--databse-url", UNREADABLE], {}),
        lambda _path: ([f"--databse-url={UNREADABLE}"], {}),
        lambda _path: ([f"-d{UNREADABLE}"], {}),
        lambda _path: (["--wait", UNREADABLE], {}),
        lambda _path: (["--color", UNREADABLE], {}),
    ],
)
@pytest.mark.parametrize("output", OUTPUTS, ids=" ".join)
def test_when_the_connection_string_is_unreadable_or_in_the_wrong_place(
    say: Callable[[Path], tuple[list[str], dict[str, str]]], output: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text(f"DATABASE_URL={UNREADABLE}\n")
    arguments, variables = say(file)
    done = run_probe(*arguments, *output, **variables)
    assert done.code == 2, done.err
    assert_no_secret(done)


# What people paste: libpq's forms, and those of other drivers.
PASTED = (
    "postgresql://u:S3ntinel@h.invalid/db",
    "postgres://u:pa/S3ntinel@[::1/db",
    "postgresql+psycopg://u:S3ntinel@h.invalid:54x/db",
    "jdbc:postgresql://h.invalid/db?user=u&password=S3ntinel&ssl=true",
    "host=h.invalid password=S3ntinel user=u",
    "host=h.invalid Password = 'S3ntin el' user=u",
)


@pytest.mark.parametrize("name", PG_TARGET_VARIABLES)
def test_a_connection_string_in_a_variable_for_one_part_of_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in PASTED:
        with monkeypatch.context() as patch:
            patch.setenv(name, text)
            for output in ("-vv", "--json"):
                done = run_inside("stats", output)
                assert "S3ntin" not in done.out + done.err, (text, done)
                assert done.code == 2, (text, done)
                assert f"{name} holds a connection string" in done.out + done.err


WRONG_PLACES = (
    ("clean",), ("help",), ("migrate", "--to"), ("migrate", "--mark-applied"),
    ("health", "--only"), ("health", "--ignore"), ("health", "--warn"),
    ("backup", "--compress"), ("backup", "--keep"), ("purge", "--what"), ("purge", "--confirm"),
    ("vacuum", "--table"), ("vacuum", "--jobs"), ("restore",), ("relink", "--show"),
    ("relink", "--match"), ("relink", "--pair"), ("report", "--output"), ("demo",), ("stats",),
)  # fmt: skip


@pytest.mark.parametrize("words", WRONG_PLACES, ids=" ".join)
def test_a_connection_string_where_another_value_belongs(
    words: tuple[str, ...], sample_database: Callable[[], str]
) -> None:
    conninfo = sample_database()
    for text in PASTED:
        for output in ("-vv", "--json"):
            more = ("--what", "movies") if words == ("purge", "--confirm") else ()
            done = run_inside(*words, text, *more, output, database=conninfo)
            assert "S3ntin" not in done.out + done.err, (text, done)
            assert done.code not in (0, 70), (text, done)
