"""The embedded server and where it lives."""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import psycopg
import pytest

from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.postgres.embedded import (
    BIND_ADDRESS,
    Cluster,
    free_port,
    is_port_free,
    server_programs,
    state_directory,
    unpacked_programs,
)
from aperture_db.postgres.server_account import make_enterable_directory, server_account
from aperture_db.safe_files import hold_directory
from tests.demo.homes import Home, end_servers

PASSWORD = "it's a secret"


@pytest.fixture
def directory() -> Iterator[Path]:
    """An empty directory with spaces in its name that the server's account may enter."""
    with tempfile.TemporaryDirectory(prefix="aperture-db tests ") as parent:
        # Not below pytest's own temporary directory, which only its user may enter.
        Path(parent).chmod(0o755)
        made = Path(parent) / "a b"
        make_enterable_directory(made)
        yield made
        end_servers(Home(made))


@pytest.fixture
def cluster(directory: Path) -> Cluster:
    """A data directory, not yet served."""
    made = Cluster(server_programs(), directory / "data", free_port())
    made.create(PASSWORD, settings={"fsync": "off", "cluster_name": "it's mine"})
    return made


def test_life_of_a_server(cluster: Cluster) -> None:
    assert not cluster.is_running()
    cluster.start()
    assert cluster.is_running()
    assert cluster.running_port == cluster.port
    assert Home(cluster.data.parent).server_pids()
    with psycopg.connect(
        host=BIND_ADDRESS, port=cluster.port, user="aperture", password=PASSWORD, dbname="postgres"
    ) as conn:
        conn.execute("CREATE EXTENSION vector")
        assert conn.execute("SHOW cluster_name").fetchone() == ("it's mine",)
    cluster.stop()
    assert not cluster.is_running()
    assert not Home(cluster.data.parent).server_pids()


def test_only_the_password_opens_it(cluster: Cluster) -> None:
    cluster.start()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host=BIND_ADDRESS, port=cluster.port, user="aperture", password="x", dbname="postgres"
        )
    cluster.stop()


def test_the_log_tells_why_it_did_not_start(cluster: Cluster) -> None:
    cluster.configure({"shared_preload_libraries": "no_such_library"})
    with pytest.raises(ApertureDbError) as caught:
        cluster.start()
    assert 'could not access file "no_such_library"' in caught.value.why
    assert caught.value.code == "embedded_server"


def test_a_taken_port(cluster: Cluster) -> None:
    with socket.socket() as taker:
        taker.bind((BIND_ADDRESS, cluster.port))
        taker.listen()
        assert not is_port_free(cluster.port)
        with pytest.raises(ApertureDbError) as caught:
            cluster.start()
    assert "TCP/IP" in caught.value.why
    assert is_port_free(cluster.port)


def test_initdb_is_not_taken_for_a_server(cluster: Cluster) -> None:
    """While it works it leaves a pid file with a negative pid and the default port."""
    pid_file = cluster.data / "postmaster.pid"
    with socket.socket() as other_server:
        other_server.bind((BIND_ADDRESS, 0))
        other_server.listen()
        port = other_server.getsockname()[1]
        pid_file.write_text(f"-{os.getpid()}\n{cluster.data}\n1700000000\n{port}\n")
        assert not cluster.is_running()


def test_two_processes_unpack_at_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APERTURE_DB_HOME", str(directory))
    with ThreadPoolExecutor(2) as pool:
        programs = set(pool.map(lambda _number: server_programs(), range(2)))
    assert len(programs) == 1
    assert (programs.pop() / "pg_dump").exists()
    assert len(list(directory.iterdir())) == 1


def test_what_killed_runs_left_is_deleted_unless_another_run_unpacks(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APERTURE_DB_HOME", str(directory))
    left = directory / "unpack-killed"
    (left / "data").mkdir(parents=True)
    with hold_directory(directory) as held:
        fcntl.flock(held.descriptor, fcntl.LOCK_SH)
        programs = server_programs()
        assert left.exists()
    server_programs()
    assert [entry.name for entry in directory.iterdir()] == [programs.parents[1].name]


def test_the_programs_belong_to_who_unpacked_them(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account that runs root's server may change none of them, and no server was started."""
    monkeypatch.setenv("APERTURE_DB_HOME", str(directory))
    sockets = set(Path("/tmp").glob(".s.PGSQL.*"))
    old_umask = os.umask(0o077)
    try:
        server_programs()
    finally:
        os.umask(old_umask)
    (unpacked,) = directory.iterdir()
    for path in (unpacked, *unpacked.rglob("*")):
        status = path.lstat()
        assert status.st_uid == os.geteuid(), path
        assert path.is_symlink() or not status.st_mode & 0o022, path
        assert path.is_symlink() or path.name == "complete" or status.st_mode & 0o004, path
    assert (unpacked / "complete").exists()
    assert set(Path("/tmp").glob(".s.PGSQL.*")) <= sockets


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@root_only
@pytest.mark.parametrize("given", ["*/bin/pg_dump", "*/lib", "."])
def test_programs_that_another_account_may_change_are_replaced(
    directory: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("APERTURE_DB_HOME", str(directory))
    programs = server_programs()
    assert unpacked_programs() == [programs]
    (unpacked,) = directory.iterdir()
    (path,) = unpacked.glob(given) if given != "." else [unpacked]
    os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
    assert unpacked_programs() == []
    (programs / "pg_dump").write_text("#!/bin/sh\necho I am somebody else\n")
    assert server_programs() == programs
    assert (programs / "pg_dump").read_bytes().startswith(b"\x7fELF")
    assert unpacked_programs() == [programs]
    assert list(directory.iterdir()) == [unpacked]


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_programs_in_a_directory_that_others_may_write_to_are_not_used(
    directory: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    monkeypatch.setenv("APERTURE_DB_HOME", str(directory))
    server_programs()
    directory.chmod(mode)
    os.chown(directory, -1, grp.getgrnam("daemon").gr_gid if os.geteuid() == 0 else -1)
    if mode == 0o775 and os.geteuid() != 0:
        pytest.skip("the group is the user's own")
    assert unpacked_programs() == []
    with pytest.raises(UsageError) as caught:
        server_programs()
    assert caught.value.code == "bad_home"
    assert str(directory) in caught.value.why


@root_only
def test_a_link_that_another_account_may_change_is_not_followed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The programs are trustworthy, and so is the link to the link."""
    own, foreign = directory / "own", directory / "foreign"
    own.mkdir()
    foreign.mkdir()
    monkeypatch.setenv("APERTURE_DB_HOME", str(own))
    server_programs()
    (foreign / "link").symlink_to(own)
    (directory / "link").symlink_to(foreign / "link")
    monkeypatch.setenv("APERTURE_DB_HOME", str(directory / "link"))
    assert len(unpacked_programs()) == 1
    os.chown(foreign, pwd.getpwnam("nobody").pw_uid, -1)
    assert unpacked_programs() == []


def test_a_link_in_place_of_the_configuration_is_not_followed(cluster: Cluster) -> None:
    """The server's account can make one, and root would write where it leads."""
    victim = cluster.data.parent / "victim"
    victim.write_text("precious")
    configuration = cluster.data / "postgresql.conf"
    for replace in (configuration.symlink_to, configuration.hardlink_to):
        configuration.unlink()
        replace(victim)
        with pytest.raises(ApertureDbError) as caught:
            cluster.configure({"fsync": "on"})
        assert caught.value.code == "embedded_server"
    assert victim.read_text() == "precious"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_package: str) -> None:
        raise ModuleNotFoundError

    monkeypatch.setattr(resources, "files", missing)
    with pytest.raises(UsageError) as caught:
        server_programs()
    assert caught.value.code == "demo_not_installed"
    assert caught.value.next_step.endswith("pip install '.[demo]'")


@pytest.mark.parametrize(
    ("user_id", "variables", "expected"),
    [
        (0, {}, "/var/lib/aperture-db"),
        (0, {"HOME": "/root"}, "/var/lib/aperture-db"),
        (0, {"APERTURE_DB_HOME": "/srv/x y"}, "/srv/x y"),
        (1000, {"HOME": "/home/u"}, "/home/u/.local/share/aperture-db"),
        (1000, {"HOME": "/home/u", "XDG_DATA_HOME": "/data"}, "/data/aperture-db"),
        (1000, {"HOME": "/home/u", "APERTURE_DB_HOME": "/srv/x"}, "/srv/x"),
    ],
)
def test_where_it_lives(
    monkeypatch: pytest.MonkeyPatch, user_id: int, variables: dict[str, str], expected: str
) -> None:
    for name in ("HOME", "XDG_DATA_HOME", "APERTURE_DB_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "geteuid", lambda: user_id)
    assert state_directory() == Path(expected)


def test_an_account_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `docker run --user 12345`."""
    for name in ("HOME", "XDG_DATA_HOME", "APERTURE_DB_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 2_000_000_123)
    with pytest.raises(UsageError) as caught:
        state_directory()
    assert caught.value.code == "bad_home"
    with pytest.raises(UsageError) as caught:
        server_account()
    assert caught.value.code == "unknown_account"


@root_only
def test_a_directory_that_the_servers_account_may_not_enter(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(UsageError) as caught:
        make_enterable_directory(private / "home")
    assert f"may not enter {private}" in caught.value.why
