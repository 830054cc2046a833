"""PostgreSQL servers with settings for tests: started fast, thrown away after the run."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from psycopg.conninfo import make_conninfo

from aperture_db.errors import ApertureDbError
from aperture_db.postgres.embedded import BIND_ADDRESS, Cluster, free_port
from tests.servers.account import run_as_server_account
from tests.servers.programs import TEST_SERVER, server_under_test

SUPERUSER = "postgres"
PORT_TRIES = 3

# Durability is pointless for servers that live for one test run.
FAST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "4GB",
    "autovacuum": "off",
}


def create_cluster(
    programs: Path, home: Path, settings: Mapping[str, str] | None = None
) -> tuple[Cluster, str]:
    """Make a data directory below `home`; returns the cluster and the superuser's password."""
    cluster = Cluster(programs, home / "data", port=0)
    password = secrets.token_hex(8)
    cluster.create(password, user=SUPERUSER, settings=FAST_SETTINGS | dict(settings or {}))
    if os.environ.get(TEST_SERVER) and programs == server_under_test():
        _enable_checksums(cluster)
    return cluster, password


def _enable_checksums(cluster: Cluster) -> None:
    """As initdb does by itself since PostgreSQL 18."""
    program = cluster.programs / "pg_checksums"
    if program.exists():
        # It refuses where they are enabled.
        run_as_server_account([program, "--enable", f"--pgdata={cluster.data}"], program.parent)


def start_on_free_port(cluster: Cluster) -> Cluster:
    """Start the cluster; another process may take the chosen port first, so try again."""
    for attempt in range(1, PORT_TRIES + 1):
        placed = replace(cluster, port=free_port())
        try:
            placed.start()
        except ApertureDbError:
            if attempt == PORT_TRIES:
                raise
        else:
            return placed
    raise AssertionError("not reached")


def superuser_conninfo(cluster: Cluster, password: str, port: int | None = None) -> str:
    """Superuser access to the database `postgres`."""
    return make_conninfo(
        host=BIND_ADDRESS,
        port=port or cluster.port,
        user=SUPERUSER,
        password=password,
        dbname="postgres",
    )


def start_server(
    programs: Path, home: Path, settings: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A new server; `conninfo` is the superuser's access to its database `postgres`."""
    cluster, password = create_cluster(programs, home, settings)
    return {"conninfo": superuser_conninfo(start_on_free_port(cluster), password)}
