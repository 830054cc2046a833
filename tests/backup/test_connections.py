"""However the tool is connected, its pg_dump gets there too, and nobody sees the password."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.dumps.programs import connection_arguments, libpq_environment
from aperture_db.errors import UsageError
from aperture_db.postgres.connection import require_session
from tests.backup.stand_ins import stand_in
from tests.cli import finish
from tests.dump_files import PHRASE, execute, make_dump, opened, start_program
from tests.program import run_inside
from tests.servers.account import give_to_server_account
from tests.servers.clusters import start_server
from tests.servers.programs import server_under_test
from tests.servers.shared import SharedServers
from tests.servers.standby import ReplicatedDatabase
from tests.servers.tls import TlsServer

NewDatabase = Callable[[], str]
# Everything that URLs, shells, libpq's own quoting and service files take specially.
PASSWORD = "S3nt1nel p@ss:w%41/?#&'\"\\$`;=!*é "


@pytest.fixture
def odd_role(admin_conninfo: str) -> Iterator[Callable[[str], str]]:
    """Makes a superuser with the odd password; returns a URL of a database for it."""
    name = f"odd role {secrets.token_hex(4)}"
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        statement = "CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}"
        admin.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(PASSWORD)))

    def make_url(conninfo: str) -> str:
        parts = conninfo_to_dict(conninfo)
        account = f"{quote(name, safe='')}:{quote(PASSWORD, safe='')}"
        return f"postgresql://{account}@{parts['host']}:{parts['port']}/{parts['dbname']}"

    yield make_url
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def round_trip(url: str, directory: Path) -> None:
    outcome = run_inside("backup", "--dir", str(directory), database=url)
    assert outcome.code == 0, outcome.err
    (file,) = directory.iterdir()
    outcome = run_inside("restore", str(file), "--confirm", PHRASE, database=url)
    assert outcome.code == 0, outcome.err


def test_a_password_with_everything_in_it(
    odd_role: Callable[[str], str], aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    url = odd_role(conninfo)
    round_trip(url, tmp_path)
    # What was restored belongs to the former owner, whoever restored it.
    with psycopg.connect(conninfo) as conn:
        owners = conn.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname='public'")
        assert owners.fetchall() == [("postgres",)]


class Processes:
    """Looks, all the time, at the arguments of every process below this one."""

    def __init__(self) -> None:
        self.arguments: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Processes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.arguments.add(entry.read_bytes())
                except OSError:
                    continue


def test_no_argument_of_a_child_is_a_secret(
    odd_role: Callable[[str], str], aperture_database: NewDatabase, tmp_path: Path
) -> None:
    url = odd_role(aperture_database())
    path = stand_in(tmp_path / "bin", 'sleep 0.5; exec "$REAL" "$@"')
    backups = tmp_path / "backups"
    backups.mkdir()
    with Processes() as seen:
        backup = finish(start_program("backup", "--dir", str(backups), conninfo=url, PATH=path))
        (file,) = backups.iterdir()
        restore = finish(
            start_program("restore", str(file), "--confirm", PHRASE, conninfo=url, PATH=path)
        )
    assert (backup.code, restore.code) == (0, 0), backup.err + restore.err
    programs = b" ".join(seen.arguments)
    assert b"pg_dump" in programs
    output = backup.out + backup.err + restore.out + restore.err
    for text in (programs.decode(errors="replace"), output):
        assert "S3nt1nel" not in text
        assert quote(PASSWORD, safe="") not in text


def test_a_failing_pg_dump_does_not_repeat_the_password(
    odd_role: Callable[[str], str], aperture_database: NewDatabase, tmp_path: Path
) -> None:
    url = odd_role(aperture_database())
    path = stand_in(tmp_path / "bin", 'echo "pg_dump: error: using $PGPASSWORD" >&2; exit 1')
    outcome = finish(
        start_program("backup", "--dir", str(tmp_path), "-vv", conninfo=url, PATH=path)
    )
    assert outcome.code == 1
    assert "pg_dump failed" in outcome.err
    assert "S3nt1nel" not in outcome.err


def test_the_environment_is_ours_alone(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No PG* variable of the caller gets through."""
    with opened(new_database()) as (_, conn), monkeypatch.context() as stray:
        for name in ("PGOPTIONS", "PGSERVICE", "PGSSLMODE", "PGHOSTADDR", "PGCLIENTENCODING"):
            stray.setenv(name, "stray")
        with libpq_environment(conn) as (environment, _):
            assert "stray" not in environment.values()
            assert environment["PGDATABASE"] == conn.info.dbname
            assert environment["PGPORT"] == str(conn.info.port)
            assert environment["LC_ALL"] == "C"
        assert conn.info.password not in " ".join(connection_arguments(conn))


def test_a_key_with_a_passphrase(tls_server: TlsServer, tmp_path: Path) -> None:
    """libpq has no variable for it, so it goes through a file without a name."""
    with opened(make_conninfo(tls_server.conninfo, sslpassword="S3nt1nel")) as (_, conn):
        with libpq_environment(conn) as (environment, [descriptor]):
            file = Path(environment["PGSERVICEFILE"])
            assert os.path.samestat(file.stat(), os.fstat(descriptor))
            assert file.stat().st_mode & 0o777 == 0o600
            assert file.stat().st_nlink == 0
            assert file.read_text() == f"[{environment['PGSERVICE']}]\nsslpassword=S3nt1nel\n"
            assert "S3nt1nel" not in environment.values()
        assert not file.exists()
    outcome = run_inside(
        "backup",
        "--dir",
        str(tmp_path),
        database=make_conninfo(tls_server.conninfo, sslpassword="x"),
    )
    assert outcome.code == 0, outcome.err


def test_tls_options_reach_pg_dump(tls_server: TlsServer, tmp_path: Path) -> None:
    name = f"test_{secrets.token_hex(4)}"
    conninfo = make_conninfo(
        tls_server.conninfo, sslmode="verify-full", sslrootcert=tls_server.authority
    )
    execute(conninfo, f"CREATE DATABASE {name}")
    database = make_conninfo(conninfo, dbname=name)
    backups = tmp_path / "backups"
    backups.mkdir()
    script = 'env | grep -E "^PGSSL|^PGHOST=" > "$0.env"; exec "$REAL" "$@"'
    path = stand_in(tmp_path / "bin", script)

    outcome = finish(start_program("backup", "--dir", str(backups), conninfo=database, PATH=path))

    assert outcome.code == 0, outcome.err
    variables = tmp_path / "bin" / "pg_dump.env"
    assert "PGSSLMODE=verify-full" in variables.read_text()
    assert f"PGSSLROOTCERT={tls_server.authority}" in variables.read_text()
    assert "PGHOST=localhost" in variables.read_text()
    execute(conninfo, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def socket_server(servers: SharedServers) -> str:
    """Superuser access, through a socket directory, to a server that listens on IPv6 too."""

    def start(home: Path) -> dict[str, str]:
        sockets = home / "sockets"
        sockets.mkdir()
        give_to_server_account(sockets)
        settings = {
            "unix_socket_directories": str(sockets),
            "listen_addresses": "127.0.0.1,::1",
        }
        answer = start_server(server_under_test(), home, settings)
        return {"conninfo": make_conninfo(answer["conninfo"], host=str(sockets))}

    return servers.get("sockets", start)["conninfo"]


@pytest.mark.parametrize("form", ["socket", "ipv6", "socket as URL"])
def test_sockets_and_ipv6(form: str, socket_server: str, tmp_path: Path) -> None:
    parts = conninfo_to_dict(socket_server)
    urls = {
        "socket": socket_server,
        "socket as URL": f"postgresql:///postgres?host={quote(str(parts['host']), safe='')}"
        f"&port={parts['port']}&user=postgres&password={parts['password']}",
        "ipv6": f"postgresql://postgres:{parts['password']}@[::1]:{parts['port']}/postgres",
    }
    if form == "ipv6" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    round_trip(urls[form], tmp_path)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_of_several_hosts_pg_dump_takes_ours(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    parts = conninfo_to_dict(aperture_database())
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = closed.getsockname()[1]
        url = (
            f"postgresql://postgres:{parts['password']}@127.0.0.1:{dead},"
            f"{parts['host']}:{parts['port']}/{parts['dbname']}"
        )
        outcome = run_inside("backup", "--dir", str(tmp_path), database=url)
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_transaction_pooler_is_refused(
    command: str,
    aperture_database: NewDatabase,
    pgbouncer_conninfo: Callable[[str], str],
    tmp_path: Path,
) -> None:
    """pg_dump would change settings of sessions that belong to Aperture."""
    conninfo = aperture_database()
    pooled = pgbouncer_conninfo(conninfo)
    dump = make_dump(conninfo, tmp_path).path
    arguments = ["--dir", str(tmp_path)]
    if command == "restore":
        arguments += [str(dump), "--confirm", PHRASE, "--terminate-sessions"]
    outcome = run_inside(command, *arguments, database=pooled)
    assert outcome.code == 2, outcome.err
    assert "pooler" in outcome.err
    assert list(tmp_path.iterdir()) == [dump]


def test_telling_poolers_apart(
    aperture_database: NewDatabase, pgbouncer_conninfo: Callable[[str], str]
) -> None:
    conninfo = aperture_database()
    with opened(conninfo) as (target, conn):
        require_session(conn, target, "it")
    with opened(pgbouncer_conninfo(conninfo)) as (target, conn), pytest.raises(UsageError):
        require_session(conn, target, "it")


def test_a_standby_can_be_backed_up(
    replicated_database: Callable[[], ReplicatedDatabase], tmp_path: Path
) -> None:
    database = replicated_database()
    execute(database.primary, "CREATE TABLE movies AS SELECT generate_series(1, 50) AS id")
    database.wait_until_replayed()

    outcome = run_inside("backup", "--dir", str(tmp_path), database=database.standby)

    assert outcome.code == 0, outcome.err
    assert "50 rows" in outcome.out


def test_a_standby_can_not_be_restored(
    replicated_database: Callable[[], ReplicatedDatabase],
    aperture_database: NewDatabase,
    tmp_path: Path,
) -> None:
    dump = make_dump(aperture_database(), tmp_path).path
    standby = replicated_database().standby
    outcome = run_inside("restore", str(dump), "--confirm", PHRASE, database=standby)
    assert outcome.code == 1
    assert "it is a standby" in outcome.err


def test_pg_dump_too_old(
    aperture_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 7 and what to install; nothing in the directory."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("pg_dump", "pg_restore"):
        (programs / name).write_text(f'#!/bin/sh\necho "{name} (PostgreSQL) 13.9"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("APERTURE_DB_HOME", str(tmp_path / "nothing"))
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr("aperture_db.dumps.programs.VERSIONED_DIRECTORIES", ())
    backups = tmp_path / "backups"
    backups.mkdir()

    outcome = run_inside("backup", "--dir", str(backups), database=aperture_database())

    assert outcome.code == 7
    assert "no pg_dump for PostgreSQL 18 is installed" in outcome.err
    assert f"the newest one installed is 13.9 in {programs}" in outcome.err
    assert "18" in outcome.err.split("next:")[1]
    assert not list(backups.iterdir())


def test_no_pg_restore_for_an_archive(
    aperture_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = make_dump(aperture_database(), tmp_path).path
    monkeypatch.setenv("APERTURE_DB_HOME", str(tmp_path / "nothing"))
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr("aperture_db.dumps.programs.VERSIONED_DIRECTORIES", ())

    outcome = run_inside("backup", "--verify", str(dump))

    assert outcome.code == 7
    assert "not installed" in outcome.err
