"""Databases for the tests, on the servers of tests/servers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from aperture_db.postgres.session import open_session
from aperture_db.sample import TEST_SIZE, fill

pytest_plugins = ["tests.servers.fixtures", "tests.snapshot"]

# A busy machine is slow, and not wrong.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"
MIGRATION_NAMES = tuple(sorted(path.name for path in MIGRATIONS.glob("*.sql")))
TEMPLATE = "aperture_template"
SAMPLE_TEMPLATE = "aperture_sample_template"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-points", action="store_true", help="tests/faults: ten points and every fault"
    )


@pytest.fixture
def clone_database(admin_conninfo: str) -> Iterator[Callable[[str], str]]:
    """Makes copies of a template database; they are dropped after the test."""
    made: list[str] = []

    def clone(template: str) -> str:
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(admin_conninfo, autocommit=True) as admin:
            copy_database(admin, template, name)
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
    """The name of a database with every migration."""
    return make_template(admin_conninfo, TEMPLATE, apply_migrations)


@pytest.fixture(scope="session")
def sample_template(admin_conninfo: str, aperture_template: str) -> str:
    """The name of a migrated database with the small sample library (TEST_SIZE)."""
    assert aperture_template == TEMPLATE
    return make_template(admin_conninfo, SAMPLE_TEMPLATE, fill_sample, of=TEMPLATE)


def copy_database(admin: psycopg.Connection[TupleRow], template: str, name: str) -> None:
    """Copy a database in the fastest way, which is the only one before PostgreSQL 15."""
    strategy = "STRATEGY file_copy" if admin.info.server_version >= 150000 else ""
    admin.execute(
        sql.SQL("CREATE DATABASE {} TEMPLATE {} {}").format(
            sql.Identifier(name), sql.Identifier(template), sql.SQL(strategy)
        )
    )


def make_template(
    admin_conninfo: str, name: str, fill: Callable[[str], None], of: str = "template1"
) -> str:
    """Make the database once per run, for whichever test asks first; returns its name.

    Nobody can connect to it afterwards: a test that wrote into it would change all later copies.
    """
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
        made = "SELECT true FROM pg_database WHERE datname = %s"
        if admin.execute(made, [name]).fetchone() is None:
            unfinished = f"{name}_unfinished"
            admin.execute(f"DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")
            copy_database(admin, of, unfinished)
            fill(make_conninfo(admin_conninfo, dbname=unfinished))
            admin.execute(f"ALTER DATABASE {unfinished} ALLOW_CONNECTIONS false")
            admin.execute(f"ALTER DATABASE {unfinished} RENAME TO {name}")
    return name


@pytest.fixture
def aperture_database(
    aperture_template: str, clone_database: Callable[[str], str]
) -> Callable[[], str]:
    """Makes databases of Aperture with every migration; they are dropped after the test."""
    return lambda: clone_database(aperture_template)


@pytest.fixture
def sample_database(
    sample_template: str, clone_database: Callable[[str], str]
) -> Callable[[], str]:
    """Makes databases with the small sample library; they are dropped after the test."""
    return lambda: clone_database(sample_template)


def fill_sample(conninfo: str) -> None:
    """Fill a migrated database with the small sample library."""
    with open_session(conninfo) as conn:
        for _ in fill(conn, TEST_SIZE):
            pass


def apply_migrations(conninfo: str, *, until: str = "9999") -> None:
    """Apply the files whose number is at most `until`, plainly: without the tool's own runner."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for file in sorted(MIGRATIONS.glob("*.sql")):
            if file.name[:4] > until:
                break
            with conn.transaction():
                conn.execute(file.read_bytes())
                conn.execute("INSERT INTO aperture_migrations (name) VALUES (%s)", [file.name])
