"""PgBouncer in transaction mode before a server."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.postgres.embedded import BIND_ADDRESS, free_port
from tests.servers.account import give_to_server_account, run_as_server_account
from tests.servers.programs import require
from tests.waiting import wait_until

# Every role of the server can log in through the pooler: it looks the secret up itself.
CONFIGURATION = """\
[databases]
* = host={host} port={server_port}

[pgbouncer]
listen_addr = {address}
listen_port = {port}
unix_socket_dir =
logfile = {home}/pgbouncer.log
pidfile = {home}/pgbouncer.pid
auth_type = scram-sha-256
auth_file = {home}/users.txt
auth_user = {user}
auth_query = SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1
pool_mode = {pool_mode}
max_client_conn = 500
default_pool_size = 20
server_idle_timeout = 5
"""


def start_pgbouncer(
    home: Path, server_conninfo: str, pool_mode: str = "transaction"
) -> dict[str, str]:
    """A pooler before every database of the server; returns its `port`."""
    program = require("pgbouncer", "pgbouncer")
    server = conninfo_to_dict(server_conninfo)
    port = free_port()
    configuration = home / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(
            host=server["host"], server_port=server["port"], user=server["user"],
            address=BIND_ADDRESS, port=port, home=home, pool_mode=pool_mode,
        )
    )  # fmt: skip
    (home / "users.txt").write_text(f'"{server["user"]}" "{server["password"]}"\n')
    for path in (home, configuration, home / "users.txt"):
        give_to_server_account(path)
    started = run_as_server_account([program, "--quiet", "--daemon", configuration], home)
    assert started.returncode == 0, started.stdout
    wait_until(lambda: _answers(through_port(server_conninfo, port)), "PgBouncer answers")
    return {"port": str(port)}


def through_port(conninfo: str, port: int | str) -> str:
    """The same database, by way of the pooler."""
    return make_conninfo(conninfo, host=BIND_ADDRESS, port=port)


def _answers(conninfo: str) -> bool:
    try:
        psycopg.connect(conninfo, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
