"""Real servers for the tests, one set per run, shared by all xdist workers."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from aperture_db.embedded import BIND_ADDRESS, Cluster, free_port, server_programs

# Durability is pointless for servers that live for one test run.
FAST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "autovacuum": "off",
    "shared_preload_libraries": "pg_stat_statements",
}
SERVER_KEY = pytest.StashKey[tuple[Cluster, Path]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the embedded server once, in the process that controls the workers."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    directory = Path(tempfile.mkdtemp(prefix="aperture-db-tests-"))
    directory.chmod(0o755)
    password = secrets.token_hex(8)
    cluster = Cluster(server_programs(), directory / "main", free_port())
    cluster.create(password, user="postgres", settings=FAST_SETTINGS)
    cluster.start()
    config.stash[SERVER_KEY] = (cluster, directory)
    config.option.admin_conninfo = make_conninfo(
        host=BIND_ADDRESS,
        port=cluster.port,
        user="postgres",
        password=password,
        dbname="postgres",
    )


def pytest_configure_node(node: pytest.Item) -> None:
    node.workerinput["admin_conninfo"] = node.config.option.admin_conninfo  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    if SERVER_KEY in config.stash:
        cluster, directory = config.stash[SERVER_KEY]
        cluster.stop()
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def admin_conninfo(request: pytest.FixtureRequest) -> str:
    """Superuser access to the embedded server's database `postgres`."""
    worker_input = getattr(request.config, "workerinput", None)
    if worker_input is not None:
        return str(worker_input["admin_conninfo"])
    return str(request.config.option.admin_conninfo)


@pytest.fixture
def new_database(admin_conninfo: str) -> Iterator[Callable[[], str]]:
    """Makes empty databases on the embedded server; they are dropped after the test."""
    made: list[str] = []

    def make() -> str:
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(admin_conninfo, autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} STRATEGY file_copy").format(sql.Identifier(name))
            )
        made.append(name)
        return make_conninfo(admin_conninfo, dbname=name)

    yield make
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        for name in made:
            admin.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )
