"""A server whose connections are used up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from tests.servers.clusters import start_server
from tests.waiting import wait_until

ORDINARY_CONNECTIONS = 2
SETTINGS = {
    "max_connections": str(ORDINARY_CONNECTIONS + 2),
    "superuser_reserved_connections": "2",
}
VISITOR_PASSWORD = "visitor-password"


@dataclass(frozen=True)
class CrowdedServer:
    """Ordinary roles get no connection any more."""

    visitor: str
    """Connection string of an ordinary role, which is turned away."""
    superuser: str
    """Connection string of a superuser, who still gets in, twice."""


def start_crowded_server(programs: Path, home: Path) -> dict[str, str]:
    """Start it, empty still."""
    answer = start_server(programs, home, SETTINGS)
    with psycopg.connect(answer["conninfo"]) as admin:
        admin.execute(f"CREATE ROLE visitor LOGIN PASSWORD '{VISITOR_PASSWORD}'")
    return answer


@contextmanager
def crowd(conninfo: str) -> Iterator[CrowdedServer]:
    """Take every connection that ordinary roles may have, until the end of the block."""
    visitor = make_conninfo(conninfo, user="visitor", password=VISITOR_PASSWORD)
    with ExitStack() as connections:
        for _ in range(ORDINARY_CONNECTIONS):
            # Those that have just been closed are counted until their processes have ended.
            wait_until(lambda: _add(connections, visitor), "a connection is free")
        yield CrowdedServer(visitor, conninfo)


def _add(connections: ExitStack, conninfo: str) -> bool:
    try:
        connections.enter_context(psycopg.connect(conninfo, autocommit=True))
    except psycopg.OperationalError as error:
        if "remaining connection slots are reserved" not in str(error):
            raise
        return False
    return True
