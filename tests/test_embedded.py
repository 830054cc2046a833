"""The embedded server and where it lives."""

from __future__ import annotations

import os
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
)
from aperture_db.postgres.server_account import make_enterable_directory, server_account
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


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_package: str) -> None:
        raise ModuleNotFoundError

    monkeypatch.setattr(resources, "files", missing)
    with pytest.raises(UsageError) as caught:
        server_programs()
    assert caught.value.code == "demo_not_installed"
    assert caught.value.next_step == "pip install 'aperture-db[demo]'"


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another account")
def test_a_directory_that_the_servers_account_may_not_enter(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(UsageError) as caught:
        make_enterable_directory(private / "home")
    assert f"may not enter {private}" in caught.value.why
