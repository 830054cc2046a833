"""Client programs as child processes: they get our connection, and end when we do."""

from __future__ import annotations

import io
import os
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from aperture_db.dumps.programs import base_environment
from aperture_db.postgres.connection import APPLICATION_NAME, KEEPALIVES, Connection

STOP_TIMEOUT_SECONDS = 5
KEPT_LINES = 20


class Child:
    """A running client program."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._complaints: deque[str] = deque(maxlen=KEPT_LINES)
        self._listener: threading.Thread | None = None

    @property
    def stdout(self) -> io.BufferedReader:
        assert isinstance(self._process.stdout, io.BufferedReader)
        return self._process.stdout

    def lines(self) -> Iterator[str]:
        """Lines of its stderr, until it closes that. Pass those that may explain a failure to
        `keep`."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            yield line.decode(errors="replace").rstrip("\r\n")

    def keep(self, line: str) -> None:
        """Remember a line for `complaint`."""
        if line:
            self._complaints.append(line)

    def listen(self) -> None:
        """Keep everything from stderr in the background, so that the child never blocks on it."""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self.lines():
            self.keep(line)

    def wait(self) -> int:
        """The exit status, negative for a signal."""
        status = self._process.wait()
        if self._listener:
            self._listener.join(STOP_TIMEOUT_SECONDS)
        return status

    @property
    def complaint(self) -> str:
        """The reason of a failure in the program's own words, without its name and severity."""
        for line in self._complaints:
            for mark in (": error: ", ": fatal: ", ": FATAL: "):
                if mark in line:
                    return line.partition(mark)[2]
        if self._complaints:
            return self._complaints[-1]
        status = self._process.returncode
        if status is not None and status < 0:
            return f"it was killed by signal {-status}"
        return f"it exited with status {status} and gave no reason"

    @property
    def details(self) -> tuple[str, ...]:
        """Every line kept, for a failure that one line does not explain."""
        return tuple(self._complaints)


@contextmanager
def running(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    stdout: int | None = subprocess.DEVNULL,
    inherited: Sequence[int] = (),
) -> Iterator[Child]:
    """Run a program for the block; it is stopped if it still runs at the end of the block.

    `inherited` are file descriptors the child keeps open, such as one that carries a lock.
    """
    process = subprocess.Popen(
        [str(word) for word in command],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        pass_fds=tuple(inherited),
    )
    try:
        yield Child(process)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


# Keywords whose value must not come from our own connection: pg_dump has its own encoding and
# name, and a password file is not needed once the password is known.
LEFT_OUT = {"passfile", "client_encoding", "application_name", "service", "password"}
# Secrets for which libpq reads no variable. They go through a service file that only we can read.
SERVICE_FILE_KEYWORDS = ("sslpassword", "scram_client_key", "scram_server_key")
SERVICE = "aperture_db"


@contextmanager
def libpq_environment(conn: Connection) -> Iterator[dict[str, str]]:
    """Environment variables that connect libpq to where `conn` is connected, with its TLS settings.

    Built from the live connection: the sources of its parameters (URL, service file, password
    file) are resolved already, and of several hosts the child takes the one that answered.
    Secrets are in no argument.
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
    """Parameters without an environment variable. Without keepalives a firewall may cut a long
    dump."""
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
