"""Where the connection string comes from, and what goes before what."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aperture_db import safe_files
from aperture_db.errors import UsageError
from aperture_db.format import shell_command
from aperture_db.postgres.settings import resolve_target
from aperture_db.postgres.target import Target

ACCOUNT = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture(autouse=True)
def no_pg_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


def url(database: str) -> str:
    return f"postgresql://u:p@h/{database}"


def test_the_first_source_wins_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text(url("url_file") + "\n")
    (tmp_path / ".env.local").write_text(f"DATABASE_URL={url('env_local')}\n")
    (tmp_path / ".env").write_text(f"DATABASE_URL={url('env')}\n")
    other = tmp_path / "other.env"
    other.write_text(f'export DATABASE_URL="{url("env_file")}"\n')
    monkeypatch.setenv("PGHOST", "pg-host")
    monkeypatch.setenv("PGDATABASE", "pg_database")
    environ = {"DATABASE_URL": url("variable"), "DATABASE_URL_FILE": str(secret), "PGHOST": "x"}

    def found(option: str | None = None, env_file: Path | None = None) -> tuple[str, str]:
        target = resolve_target(option, env_file, environ, tmp_path)
        return target.database, target.source

    assert found(url("option")) == ("option", "--database-url")
    assert found() == ("variable", "DATABASE_URL")
    environ["DATABASE_URL"] = " "
    assert found("") == ("url_file", f"DATABASE_URL_FILE ({secret})")
    environ["DATABASE_URL_FILE"] = ""
    assert found(env_file=other) == ("env_file", str(other))
    assert found() == ("env_local", ".env.local")
    (tmp_path / ".env.local").write_text("DATABASE_URL=\n")
    assert found() == ("env", ".env")
    (tmp_path / ".env").unlink()
    assert found() == ("pg_database", "PG* variables")
    del environ["PGHOST"]
    with pytest.raises(UsageError) as caught:
        found()
    assert caught.value.code == "no_database_named"


def test_no_source_names_the_ways(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_target(None, None, {}, tmp_path)
    error = caught.value
    assert error.what == "no database is configured"
    assert error.why == (
        "none of --database-url, DATABASE_URL, DATABASE_URL_FILE, a DATABASE_URL in an env file, "
        "and PGHOST is set"
    )
    assert error.next_step == (
        "export DATABASE_URL='postgresql://user:password@host:5432/database', "
        "or try the tool without a database: aperture-db demo"
    )


def test_an_env_file_never_goes_before_a_real_variable(tmp_path: Path) -> None:
    file = tmp_path / "some.env"
    file.write_text(f"DATABASE_URL={url('file')}")
    target = resolve_target(None, file, {"DATABASE_URL": url("variable")}, tmp_path)
    assert target.database == "variable"
    assert target.warnings == (f"{file} is not used: DATABASE_URL goes before it",)


def test_an_env_file_may_name_a_secret_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(url("secret"))
    (tmp_path / ".env").write_text(f"DATABASE_URL_FILE={tmp_path / 'secret'}\n")
    target = resolve_target(None, None, {}, tmp_path)
    assert (target.database, target.source) == ("secret", ".env")


@pytest.mark.parametrize(
    "line",
    [
        "DATABASE_URL={}",
        "DATABASE_URL='{}'",
        'export DATABASE_URL="{}"',
        "\ufeffDATABASE_URL = {}",
        "DATABASE_URL={} # the database",
    ],
)
def test_lines_of_env_files(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(line.format(url("found")) + "\r\n", encoding="utf-8")
    assert resolve_target(None, None, {}, tmp_path).database == "found"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _path: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_text(" \n"), "it is empty"),
        (lambda path: path.write_bytes(b"postgresql://u:\xff@h/d"), "it is not UTF-8 text"),
    ],
)
def test_a_secret_file_that_cannot_be_read(tmp_path: Path, make: object, why: str) -> None:
    path = tmp_path / "secret"
    assert callable(make)
    make(path)
    with pytest.raises(UsageError) as caught:
        resolve_target(None, None, {"DATABASE_URL_FILE": str(path)}, tmp_path)
    assert caught.value.what == f"{path} can't be read"
    assert caught.value.why == why
    assert caught.value.next_step == (
        f"correct DATABASE_URL_FILE, or check the file's rights with: ls -l {path}"
    )


def test_an_env_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_target(None, tmp_path / "no.env", {}, tmp_path)
    assert caught.value.why == "there is no such file"


@pytest.mark.parametrize(
    ("name", "why"), [("no", "there is no such file"), (".", "it is a directory")]
)
def test_an_env_file_is_missed_although_it_would_not_be_used(
    tmp_path: Path, name: str, why: str
) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_target(url("given"), tmp_path / name, {}, tmp_path)
    assert caught.value.why == why


@pytest.mark.parametrize("named_by", ["--env-file", "DATABASE_URL_FILE"])
class TestWhatIsNoFile:
    def resolve(self, named_by: str, path: Path) -> Target:
        if named_by == "--env-file":
            return resolve_target(None, path, {}, Path("/"))
        return resolve_target(None, None, {named_by: str(path)}, Path("/"))

    def reason(self, named_by: str, path: Path) -> str:
        with pytest.raises(UsageError) as caught:
            self.resolve(named_by, path)
        assert caught.value.what == f"{path} can't be read"
        return caught.value.why

    def test_a_device_without_an_end(self, named_by: str, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to("/dev/zero")
        assert self.reason(named_by, link) == "it is a device, not a file"

    def test_a_fifo_to_which_nobody_writes(
        self, named_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(safe_files, "WAIT_SECONDS", 1)
        os.mkfifo(tmp_path / "fifo")
        assert self.reason(named_by, tmp_path / "fifo") == "nothing came for 1 s"

    def test_more_than_any_connection_string(self, named_by: str, tmp_path: Path) -> None:
        path = tmp_path / "large"
        with path.open("wb") as file:
            file.truncate(1 << 40)
        assert self.reason(named_by, path) == "it has more than 1,048,576 bytes"

    def test_what_a_command_prints(self, named_by: str) -> None:
        """A shell's <(command)."""
        with subprocess.Popen(
            ["/bin/sh", "-c", f"sleep 0.2; echo DATABASE_URL={url('printed')}"],
            stdout=subprocess.PIPE,
        ) as command:
            assert command.stdout
            path = Path(f"/dev/fd/{command.stdout.fileno()}")
            assert self.resolve(named_by, path).database == "printed"


def test_a_connection_string_that_cannot_be_read_names_its_source(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_target(None, None, {"DATABASE_URL": "mysql://u:secret@h/d"}, tmp_path)
    assert caught.value.what == "the connection string from DATABASE_URL can't be read"


def test_unknown_options_are_a_warning() -> None:
    target = resolve_target("postgresql://h/d?schema=public", None, {})
    assert target.warnings == ("unknown options in the connection string are ignored: schema",)


def test_pg_variables_do_not_mix_into_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGHOST": "other", "PGHOSTADDR": "192.0.2.1", "PGPORT": "6543", "PGUSER": "other",
        "PGDATABASE": "other",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert resolve_target("postgresql://h", None).params == {
        "host": "h", "hostaddr": "", "port": "5432", "user": ACCOUNT, "dbname": ACCOUNT,
    }  # fmt: skip


def test_pgpassword_serves_a_url_without_a_password() -> None:
    environ = {"PGPASSWORD": "from variable"}
    assert resolve_target("postgresql://h", None, environ).params["password"] == "from variable"
    assert resolve_target("postgresql://u:own@h", None, environ).params["password"] == "own"


def test_pg_variables_are_read_as_libpq_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGHOST": "h", "PGPORT": "6543", "PGUSER": "u", "PGPASSWORD": "secret", "PGDATABASE": "d",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    target = resolve_target(None, None, os.environ, Path("/nowhere"))
    assert str(target) == "u@h:6543/d"
    assert target.params["password"] == "secret"


def test_a_service_file_names_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "services"
    file.write_text("[aperture]\nhost=h\nport=6543\nuser=u\npassword=secret\ndbname=d\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    expected = {"host": "h", "port": "6543", "user": "u", "password": "secret", "dbname": "d"}
    from_url = resolve_target("postgresql://?service=aperture", None)
    assert from_url.params == expected | {"service": "aperture"}
    assert "PGSERVICE" not in os.environ
    monkeypatch.setenv("PGSERVICE", "aperture")
    assert resolve_target(None, None, os.environ, Path("/nowhere")).params == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p@h/d", "u@h:5432/d"),
        ("postgresql://u:p@[::1]:5433/d", "u@[::1]:5433/d"),
        ("postgresql://u:p@/d?host=/run/pg", "u@/run/pg:5432/d"),
        ("postgresql://u.x:p@h:6543/d", "u.x@h:6543/d"),
        ("hostaddr=127.0.0.1 user=u dbname=d", "u@127.0.0.1:5432/d"),
        ("postgresql://h", f"{ACCOUNT}@h:5432/{ACCOUNT}"),
    ],
)
def test_the_target_is_named_without_its_password(text: str, shown: str) -> None:
    target = resolve_target(text, None, {})
    assert str(target) == shown
    assert "password" not in repr(target)


def make_target(password: str, host: str = "database-host") -> Target:
    return Target({"host": host, "user": "aperture", "password": password}, "test")


@pytest.mark.parametrize(
    ("password", "text", "expected"),
    [
        ("s@cr/t", "s@cr/t, s%40cr%2Ft, s%40cr%2ft and s@cr%2Ft", "{0}, {0}, {0} and {0}"),
        ('it\'s "x"', 'it\'s "x" it\'s \\"x\\" it\\\'s%20%22x%22', "{0} {0} {0}"),
        ("pé ss", "pé ss p\\u00e9 ss p%C3%A9+ss", "{0} {0} {0}"),
        # Short passwords, and those inside the target's name, are found as whole words.
        ("ab", "table ab is absent: ab", "table {0} is absent: {0}"),
        ("base", "database-host base", "database-host {0}"),
        # The name is shown on purpose.
        ("aperture", "user aperture", "user aperture"),
        ("", "text", "text"),
    ],
)
def test_redaction(password: str, text: str, expected: str) -> None:
    assert make_target(password).redact(text) == expected.format("********")


def is_no_name(password: str) -> bool:
    """A password that is a part of the target's name, too, is shown with it."""
    return password not in str(make_target(password, host="")).replace("@", "/").split("/")


ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "url": lambda text: quote(text, safe=""),
    "url_lower": lambda text: re.sub("%..", lambda code: code[0].lower(), quote(text, safe="")),
    "form": quote_plus,
    "json": lambda text: json.dumps(text)[1:-1],
    "python": lambda text: repr(text)[1:-1],
    "sql": lambda text: text.replace("'", "''"),
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@given(password=st.text(st.characters(exclude_categories=["Cs"]), min_size=4).filter(is_no_name))
def test_redaction_in_every_encoding(encode: Callable[[str], str], password: str) -> None:
    assert make_target(password, host="").redact(f"<{encode(password)}>") == "<********>"


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ("postgresql://u@h/d?sslmode=verify-full", "'postgresql://u@h/d?sslmode=verify-full'"),
        ("host=h user=u", "'host=h user=u'"),
        ("postgresql://u:secret@h/d", "'postgresql://…'"),
        ("postgresql://u@h/d?password=secret", "'postgresql://…'"),
        ("postgresql://u@h/d?sslkey=k&sslpassword=secret", "'postgresql://…'"),
        ("postgresql://u@h/d?unknown=secret", "'postgresql://…'"),
        ("host=h password='se cret'", "'postgresql://…'"),
    ],
)
def test_a_command_to_paste_names_the_database_without_its_password(
    given: str, printed: str
) -> None:
    target = resolve_target(given, None, {"DATABASE_URL": url("another")})
    line = shell_command("aperture-db", "restore", "/a b.dump", *target.options)
    assert line == f"aperture-db restore '/a b.dump' --database-url {printed}"


def test_a_command_to_paste_names_the_env_file(tmp_path: Path) -> None:
    env_file = tmp_path / "my.env"
    env_file.write_text(f"DATABASE_URL={url('d')}\n")
    (tmp_path / ".env").write_text(f"DATABASE_URL={url('other')}\n")
    named = resolve_target(None, env_file, {}, tmp_path)
    assert named.options == ("--env-file", str(env_file))
    not_used = resolve_target(None, env_file, {"DATABASE_URL": url("d")}, tmp_path)
    assert not_used.options == ()
    assert resolve_target(None, None, {}, tmp_path).options == ()
