"""The pytest plugin with the servers. Each starts when the first test asks for it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import FrameType

import psycopg
import pytest
from psycopg import sql

from aperture_db.extensions.report import Requirement
from tests.servers.clusters import start_server
from tests.servers.crowded import CrowdedServer, crowd, start_crowded_server
from tests.servers.old import start_old_pgvector, start_postgres15
from tests.servers.pgbouncer import start_pgbouncer, through_port
from tests.servers.programs import (
    NO_MOUNTS,
    TEST_SERVER,
    prefer_clients_under_test,
    server_under_test,
)
from tests.servers.roles import Rights, drop_role, make_role
from tests.servers.shared import SharedServers, stop_servers
from tests.servers.speaking import LOCALES, start_speaking_server
from tests.servers.standby import ReplicatedDatabase, start_standby
from tests.servers.starting import StartingServer, start_starting_server
from tests.servers.tls import TlsServer, start_tls_server

SERVERS = pytest.StashKey[SharedServers]()
MAIN_SETTINGS = {
    "max_connections": "200",
    "max_prepared_transactions": "10",
    "shared_preload_libraries": "pg_stat_statements",
}


def pytest_configure(config: pytest.Config) -> None:
    _heed_signals()
    prefer_clients_under_test()
    worker_input = getattr(config, "workerinput", None)
    if worker_input is not None:
        config.stash[SERVERS] = SharedServers(Path(worker_input["server_directory"]))
    else:
        config.stash[SERVERS] = SharedServers.create()


def _heed_signals() -> None:
    """A run in the background, or under nohup, starts with some signals ignored, and so would
    every program that the tests send them to. SIGTERM ends the run like Ctrl-C, so that its
    servers are stopped."""
    signal.signal(signal.SIGTERM, _interrupt_once)
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def _interrupt_once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    _disregard(number)
    raise KeyboardInterrupt


def _disregard(number: int) -> None:
    """From here on the run ends anyway. The signal is not ignored, as programs that are started
    would inherit that."""
    signal.signal(number, lambda _number, _frame: None)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a worker of pytest-xdist where the run's servers are."""
    servers: SharedServers = node.config.stash[SERVERS]  # type: ignore[attr-defined]
    node.workerinput["server_directory"] = str(servers.directory)  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and SERVERS in config.stash:
        _disregard(signal.SIGTERM)
        config.stash[SERVERS].stop_all()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail"):
        _forbid_skip_in_ci(report, call.excinfo)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip_in_ci(report, report.longrepr)
    return report


def _forbid_skip_in_ci(report: pytest.TestReport | pytest.CollectReport, reason: object) -> None:
    """In CI a skipped test is a failed one: CI installs everything that tests need."""
    if report.skipped and os.environ.get("CI") == "true" and NO_MOUNTS not in str(reason):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI=true allows no skip: {reason}"


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> SharedServers:
    """The servers of this run."""
    return request.config.stash[SERVERS]


@pytest.fixture(scope="session")
def admin_conninfo(servers: SharedServers) -> str:
    """Superuser access to the embedded server's database `postgres`."""
    main = servers.get("main", lambda home: start_server(server_under_test(), home, MAIN_SETTINGS))
    return main["conninfo"]


@pytest.fixture(scope="session")
def offered_pgvector(admin_conninfo: str) -> str:
    """The version of pgvector that the server under test has."""
    with psycopg.connect(admin_conninfo) as admin:
        row = admin.execute(
            "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
        ).fetchone()
    return str(row[0]) if row else ""


@pytest.fixture(autouse=True)
def accept_offered_pgvector(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pgvector with known defects is warned about in every test that looks at it, so the one
    that another server brings counts as good; tests/extensions/test_rules.py has the defects."""
    names = request.fixturenames
    if not os.environ.get(TEST_SERVER) or "servers" not in names or "old_pgvector" in names:
        return
    offered = request.getfixturevalue("offered_pgvector")
    defects_of = Requirement.defects_of
    monkeypatch.setattr(
        Requirement,
        "defects_of",
        lambda self, version: () if version == offered else defects_of(self, version),
    )


@pytest.fixture(scope="session")
def pgbouncer_conninfo(servers: SharedServers, admin_conninfo: str) -> Callable[[str], str]:
    """Leads a connection string of the embedded server through PgBouncer, transaction mode:
    `pgbouncer_conninfo(new_database())`."""
    pooler = servers.get("pgbouncer", lambda home: start_pgbouncer(home, admin_conninfo))
    return lambda conninfo: through_port(conninfo, pooler["port"])


@pytest.fixture(scope="session")
def replicated_servers(servers: SharedServers) -> ReplicatedDatabase:
    """The database `postgres` on a primary and on its hot standby."""
    pair = servers.get("standby", lambda home: start_standby(server_under_test(), home))
    return ReplicatedDatabase(pair["primary"], pair["standby"])


@pytest.fixture(scope="session")
def standby_conninfo(replicated_servers: ReplicatedDatabase) -> str:
    """Superuser access to the database `postgres` on a streaming hot standby."""
    return replicated_servers.standby


@pytest.fixture
def replicated_database(
    replicated_servers: ReplicatedDatabase,
) -> Iterator[Callable[[], ReplicatedDatabase]]:
    """Makes empty databases on a primary that a hot standby follows: fill `.primary`, call
    `.wait_until_replayed()`, connect to `.standby`. They are dropped after the test."""
    made: list[str] = []

    def make() -> ReplicatedDatabase:
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(replicated_servers.primary, autocommit=True) as primary:
            primary.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made.append(name)
        database = replicated_servers.on(name)
        database.wait_until_replayed()
        return database

    yield make
    with psycopg.connect(replicated_servers.primary, autocommit=True) as primary:
        for name in made:
            primary.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


@pytest.fixture(scope="session")
def postgres15(servers: SharedServers) -> str:
    """Superuser access to a PostgreSQL 15 that has no pgvector."""
    return servers.get("postgres15", start_postgres15)["conninfo"]


@pytest.fixture(scope="session")
def old_pgvector(servers: SharedServers) -> str:
    """Superuser access to a server whose pgvector is 0.6.2."""
    return servers.get("old_pgvector", start_old_pgvector)["conninfo"]


@pytest.fixture(scope="session")
def tls_server(servers: SharedServers) -> TlsServer:
    """A server that speaks TLS, with the certificates to trust it or not to."""
    return TlsServer(**servers.get("tls", lambda home: start_tls_server(server_under_test(), home)))


@pytest.fixture
def crowded_server(servers: SharedServers) -> Iterator[CrowdedServer]:
    """A server that has no connection left for ordinary roles during the test."""
    answer = servers.get("crowded", lambda home: start_crowded_server(server_under_test(), home))
    with servers.exclusive("crowd"), crowd(answer["conninfo"]) as crowded:
        yield crowded


@pytest.fixture
def starting_server(servers: SharedServers) -> Iterator[StartingServer]:
    """A server of the test's own that is starting up until the test calls `.finish()`."""
    home = servers.directory / f"starting_{secrets.token_hex(4)}"
    home.mkdir()
    yield start_starting_server(server_under_test(), home)
    stop_servers(home)
    # The end of the run looks for pid files, and finds none of a server that has gone.
    shutil.rmtree(home)


@pytest.fixture(scope="session", params=LOCALES)
def speaking_server(servers: SharedServers, request: pytest.FixtureRequest) -> str:
    """Superuser access to a server that speaks German, and to one that speaks French."""
    language: str = request.param
    started = servers.get(
        f"speaking_{language}", lambda home: start_speaking_server(home, language)
    )
    return started["conninfo"]


@pytest.fixture
def limited_role(admin_conninfo: str) -> Iterator[Callable[[str, Rights], str]]:
    """Makes roles for a database of the embedded server: `limited_role(conninfo, "read")` is the
    connection string of one that may only read. They are dropped after the test."""
    made: list[str] = []

    def make(conninfo: str, rights: Rights) -> str:
        made.append(make_role(conninfo, rights))
        return made[-1]

    yield make
    for role in made:
        drop_role(admin_conninfo, role)
