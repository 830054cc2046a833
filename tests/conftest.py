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
MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"
TEMPLATE = "aperture_template"


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
def clone_database(admin_conninfo: str) -> Iterator[Callable[[str], str]]:
    """Makes copies of a template database; they are dropped after the test."""
    made: list[str] = []

    def clone(template: str) -> str:
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(admin_conninfo, autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        made.append(name)
        return make_conninfo(admin_conninfo, dbname=name)

    yield clone
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        for name in made:
            admin.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


@pytest.fixture
def new_database(clone_database: Callable[[str], str]) -> Callable[[], str]:
    """Makes empty databases on the embedded server; they are dropped after the test."""
    return lambda: clone_database("template1")


@pytest.fixture
def database_at(new_database: Callable[[], str]) -> Callable[[str], str]:
    """Makes databases as they are after a migration, named by its number: `database_at("0050")`."""

    def make(number: str) -> str:
        conninfo = new_database()
        apply_migrations(conninfo, until=number)
        return conninfo

    return make


@pytest.fixture(scope="session")
def aperture_template(admin_conninfo: str) -> str:
    """The name of a database with every migration; the first test of the run that asks makes it."""
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(hashtext(%s))", [TEMPLATE])
        made = "SELECT true FROM pg_database WHERE datname = %s"
        if admin.execute(made, [TEMPLATE]).fetchone() is None:
            unfinished = f"{TEMPLATE}_unfinished"
            admin.execute(f"DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")
            admin.execute(f"CREATE DATABASE {unfinished} STRATEGY file_copy")
            apply_migrations(make_conninfo(admin_conninfo, dbname=unfinished))
            admin.execute(f"ALTER DATABASE {unfinished} RENAME TO {TEMPLATE}")
    return TEMPLATE


@pytest.fixture
def aperture_database(
    aperture_template: str, clone_database: Callable[[str], str]
) -> Callable[[], str]:
    """Makes databases of Aperture with every migration; they are dropped after the test."""
    return lambda: clone_database(aperture_template)


def apply_migrations(conninfo: str, *, until: str = "9999") -> None:
    """Apply the files whose number is at most `until`, plainly: without the tool's own runner."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for file in sorted(MIGRATIONS.glob("*.sql")):
            if file.name[:4] > until:
                break
            with conn.transaction():
                conn.execute(file.read_bytes())
                conn.execute("INSERT INTO aperture_migrations (name) VALUES (%s)", [file.name])
