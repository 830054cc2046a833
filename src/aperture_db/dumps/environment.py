"""Gives a client program the connection that the tool itself has, without a secret in its argv."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aperture_db.dumps.programs import base_environment
from aperture_db.postgres.connection import APPLICATION_NAME, KEEPALIVES, Connection

# Keywords whose value must not come from our own connection: pg_dump has its own encoding and
# name, and a password file is not needed once the password is known.
LEFT_OUT = {"passfile", "client_encoding", "application_name", "service", "password"}
# Secrets for which libpq reads no variable. They go through a service file that only we can read.
SERVICE_FILE_KEYWORDS = ("sslpassword", "scram_client_key", "scram_server_key")
SERVICE = "aperture_db"


@contextmanager
def libpq_environment(conn: Connection) -> Iterator[dict[str, str]]:
    """The environment that leads libpq to where `conn` is connected, with the same TLS settings.

    Built from the live connection, so that whatever named it (URL, service file, password file)
    is already resolved, and of several hosts the child takes the one that answered.
    """
    options = {
        option.keyword.decode(): (option.envvar, option.val.decode())
        for option in conn.pgconn.info
        if option.val
    }
    environment = base_environment()
    for keyword, (variable, value) in options.items():
        if variable and keyword not in LEFT_OUT:
            environment[variable.decode()] = value
    environment |= _address(conn)
    environment["PGAPPNAME"] = APPLICATION_NAME
    if conn.info.password:
        environment["PGPASSWORD"] = conn.info.password
    secrets = {name: options[name][1] for name in SERVICE_FILE_KEYWORDS if name in options}
    if not secrets:
        yield environment
        return
    with tempfile.TemporaryDirectory(prefix="aperture-db-") as directory:
        yield environment | _write_service(Path(directory), secrets)


def connection_arguments(conn: Connection) -> list[str]:
    """What has no variable and is no secret: without keepalives a firewall may cut a long dump."""
    options = {option.keyword.decode(): option.val for option in conn.pgconn.info}
    values = {name: options.get(name) for name in (*KEEPALIVES, "tcp_user_timeout")}
    pairs = " ".join(f"{name}={value.decode()}" for name, value in values.items() if value)
    return [f"--dbname={pairs}", "--no-password"]


def _address(conn: Connection) -> dict[str, str]:
    address = {"PGHOST": conn.info.host, "PGPORT": str(conn.info.port)}
    if conn.info.hostaddr and not conn.info.host.startswith("/"):
        address["PGHOSTADDR"] = conn.info.hostaddr
    return address


def _write_service(directory: Path, secrets: dict[str, str]) -> dict[str, str]:
    path = directory / "service.conf"
    lines = [f"[{SERVICE}]", *(f"{name}={value}" for name, value in secrets.items()), ""]
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write("\n".join(lines))
    return {"PGSERVICEFILE": str(path), "PGSERVICE": SERVICE}
