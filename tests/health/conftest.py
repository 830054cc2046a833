"""A server that is set up as one should be, and readings of its databases."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from aperture_db.cli.options import PHRASE
from tests.cli import Outcome
from tests.conftest import (
    TEMPLATE,
    apply_migrations,
    copy_database,
    fill_sample,
    make_template,
)
from tests.program import run_inside
from tests.servers.clusters import start_server
from tests.servers.programs import server_under_test
from tests.servers.roles import Rights, drop_role, make_role
from tests.servers.shared import SharedServers

# Autovacuum is on and sleeps: the tests decide when rows are dead.
SETTINGS = {
    "autovacuum": "on",
    "autovacuum_naptime": "1d",
    "max_connections": "60",
    "max_prepared_transactions": "5",
    "shared_preload_libraries": "pg_stat_statements",
}
SAMPLE_TEMPLATE = "aperture_sample"


@dataclass(frozen=True)
class Reading:
    """What one run of health said."""

    code: int
    checks: dict[str, dict[str, Any]]
    err: str

    def __getitem__(self, check_id: str) -> dict[str, Any]:
        return self.checks[check_id]

    @property
    def statuses(self) -> dict[str, str]:
        return {check_id: str(check["status"]) for check_id, check in self.checks.items()}

    def changed_since(self, before: Reading) -> set[str]:
        """The ids of the checks whose status is another one."""
        return {name for name, status in self.statuses.items() if before.statuses[name] != status}


# A busy machine is slow, and not ill.
PATIENCE = ("--timeout", "60s", "--warn", "latency=1m", "--crit", "latency=1h")


def run_health(conninfo: str, *arguments: str) -> Outcome:
    """Run `health` inside this process."""
    return run_inside("health", *PATIENCE, *arguments, database=conninfo)


def read_health(conninfo: str, *arguments: str) -> Reading:
    """Run `health --json`."""
    outcome = run_health(conninfo, "--json", *arguments)
    data = outcome.envelope["data"]
    checks = {check["id"]: check for check in data["checks"]} if data else {}
    return Reading(outcome.code, checks, outcome.err)


def read_check(conninfo: str, check_id: str, *arguments: str) -> dict[str, Any]:
    """Run one check."""
    return read_health(conninfo, "--only", check_id, *arguments)[check_id]


def follow_advice(conninfo: str, check: dict[str, Any]) -> None:
    """Run what the check advises: SQL, and commands of this program."""
    for step in check["advice"]:
        if step.startswith("aperture-db "):
            words = shlex.split(step)[1:]
            if words[0] == "clean":
                words += ["--confirm", PHRASE]
            outcome = run_inside(*words, database=conninfo)
            assert outcome.code == 0, outcome.err
        elif step.endswith(";"):
            with psycopg.connect(conninfo, autocommit=True) as conn:
                conn.execute(step.encode())


@pytest.fixture(scope="session")
def healthy_server(servers: SharedServers) -> str:
    """Superuser access to a server with settings as they should be."""
    answer = servers.get("healthy", lambda home: start_server(server_under_test(), home, SETTINGS))
    return answer["conninfo"]


@contextmanager
def cloning(server: str) -> Iterator[Callable[[str], str]]:
    """A function that makes copies of a template of the server; they are dropped after the
    block."""
    made: list[str] = []

    def clone(template: str) -> str:
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(server, autocommit=True) as admin:
            copy_database(admin, template, name)
        made.append(name)
        return make_conninfo(server, dbname=name)

    yield clone
    with psycopg.connect(server, autocommit=True) as admin:
        for name in made:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            admin.execute(drop.format(sql.Identifier(name)))


@pytest.fixture
def clone_healthy(healthy_server: str) -> Iterator[Callable[[str], str]]:
    """Makes copies of a template of that server; they are dropped after the test."""
    with cloning(healthy_server) as clone:
        yield clone


@pytest.fixture
def migrated(healthy_server: str, clone_healthy: Callable[[str], str]) -> str:
    """A fresh installation: every migration, and nothing else."""
    return clone_healthy(make_template(healthy_server, TEMPLATE, apply_migrations))


@pytest.fixture
def library(healthy_server: str, clone_healthy: Callable[[str], str]) -> str:
    """A database with the small sample library."""
    make_template(healthy_server, TEMPLATE, apply_migrations)
    return clone_healthy(make_template(healthy_server, SAMPLE_TEMPLATE, fill_sample, of=TEMPLATE))


@pytest.fixture
def empty(clone_healthy: Callable[[str], str]) -> str:
    """A database without anything."""
    return clone_healthy("template1")


@pytest.fixture
def role_of(healthy_server: str) -> Iterator[Callable[[str, Rights], str]]:
    """Makes roles with less rights for a database; they are dropped after the test."""
    made: list[str] = []

    def make(conninfo: str, rights: Rights) -> str:
        made.append(make_role(conninfo, rights))
        return made[-1]

    yield make
    for role in made:
        drop_role(healthy_server, role)
