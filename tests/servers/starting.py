"""A server that is still starting up, for as long as a test wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from aperture_db.postgres.embedded import free_port
from tests.servers.account import give_to_server_account, run_as_server_account
from tests.servers.clusters import create_cluster, superuser_conninfo
from tests.waiting import wait_until


@dataclass(frozen=True)
class StartingServer:
    conninfo: str
    gate: Path
    """The server starts up until this file exists."""

    def finish(self) -> None:
        """Let the server come up; returns at once."""
        self.gate.touch()


def start_starting_server(
    programs: Path, home: Path, settings: Mapping[str, str] | None = None
) -> StartingServer:
    """Start a server that goes through an archive recovery whose archive does not answer yet."""
    cluster, password = create_cluster(programs, home, settings)
    gate = home / "gate"
    cluster.configure({"restore_command": f"until [ -e {gate} ]; do sleep 0.05; done; false"})
    cluster.log.touch()
    give_to_server_account(cluster.log)
    signal = cluster.data / "recovery.signal"
    signal.touch()
    give_to_server_account(signal)
    port = free_port()
    started = run_as_server_account(
        [programs / "pg_ctl", "start", f"--pgdata={cluster.data}", f"--log={cluster.log}",
         "--no-wait", f"--options=-p {port}"],
        programs,
    )  # fmt: skip
    assert started.returncode == 0, started.stdout
    conninfo = superuser_conninfo(cluster, password, port)
    # In the language of the server.
    wait_until(lambda: "FATAL: " in _refusal(conninfo), "the server says that it starts up")
    return StartingServer(conninfo, gate)


def _refusal(conninfo: str) -> str:
    try:
        psycopg.connect(conninfo, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        return str(error)
    return ""
