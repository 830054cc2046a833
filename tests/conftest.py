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

pytest_plugins = ["tests.servers.fixtures", "tests.snapshot"]

# A busy machine is slow, and not wrong.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"
TEMPLATE = "aperture_template"


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
