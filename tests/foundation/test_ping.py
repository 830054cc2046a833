"""--ping: a monitor hears of the start, the success and the failure of what cron runs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from aperture_db.cli import ping
from aperture_db.postgres.embedded import free_port
from tests.cli import finish, start_cli
from tests.foundation.listeners import listening
from tests.program import run_inside
from tests.waiting import wait_until

NewDatabase = Callable[[], str]


class Receiver(ThreadingHTTPServer):
    """A monitor that keeps what it is told."""

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.pings: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/check-1"

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.pings]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.pings.append((self.path, body))
        self.server.headers.append(dict(self.headers))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"OK")

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def receiving(status: int = 200) -> Iterator[Receiver]:
    with Receiver(status) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def monitor() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_monitor_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APERTURE_DB_PING_URL", raising=False)


def test_a_backup(aperture_database: NewDatabase, tmp_path: Path, monitor: Receiver) -> None:
    """The body is the report, also where -q prints nothing."""
    options = ["--dir", str(tmp_path), "-q", "--ping", monitor.url]
    done = run_inside("backup", *options, database=aperture_database())
    assert (done.code, done.out, done.err) == (0, "", "")
    (start, _), (end, body) = monitor.pings
    assert (start, end) == ("/check-1/start", "/check-1")
    assert f"Backed up to {tmp_path}/aperture_backup_" in body
    assert body.endswith("exit code 0")
    assert monitor.headers[1]["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("stats", ["--record"]),
        ("migrate", []),
        ("vacuum", ["--table", "users"]),
        ("clean", ["--apply", "expired-sessions", "--confirm", "yes I am sure"]),
    ],
)
def test_the_other_commands(
    command: str, options: list[str], aperture_database: NewDatabase, monitor: Receiver
) -> None:
    conninfo = aperture_database()
    done = run_inside(command, *options, "--ping", monitor.url, database=conninfo)
    assert done.code == 0, done.err
    assert monitor.paths == ["/check-1/start", "/check-1"]
    # The same from the environment; with --json there is one object, and the body is for people.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APERTURE_DB_PING_URL", f"{monitor.url}/?create=1")
        done = run_inside(command, *options, "--json", database=conninfo)
    assert json.loads(done.out)["warnings"] == []
    assert monitor.paths[2:] == ["/check-1/start?create=1", "/check-1?create=1"]
    assert "{" not in monitor.pings[3][1]


@pytest.mark.parametrize("options", [(), ("-q",), ("--format", "nagios"), ("--format", "json")])
def test_health_fails_from_a_warning_on(
    options: tuple[str, ...], aperture_database: NewDatabase, monitor: Receiver
) -> None:
    done = run_inside(
        "health", "--only", "latency", "--warn", "latency=0", *options, "--ping", monitor.url,
        database=aperture_database(),
    )  # fmt: skip
    assert done.code == 1
    assert monitor.paths == ["/check-1/start", "/check-1/fail"]
    assert "warning  latency" in monitor.pings[1][1]
    assert monitor.pings[1][1].endswith("exit code 1")


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("backup", ["--list", "--dir", "/"]),
        ("stats", []),
        ("clean", []),
        ("vacuum", ["--dry-run"]),
        ("migrate", ["--status"]),
    ],
)
def test_a_look_by_hand_does_not_ping_the_monitor_of_the_environment(
    command: str,
    options: list[str],
    aperture_database: NewDatabase,
    monitor: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("APERTURE_DB_PING_URL", monitor.url)
    assert run_inside(command, *options, database=aperture_database()).code == 0
    assert monitor.pings == []


def test_an_error_is_sent_without_the_password(
    new_database: NewDatabase, monitor: Receiver
) -> None:
    params = conninfo_to_dict(new_database())
    url = f"postgresql://nobody:s3cretive@{params['host']}:{params['port']}/x"
    done = run_inside("vacuum", "--ping", monitor.url, database=url)
    assert done.code == 3
    assert monitor.paths == ["/check-1/start", "/check-1/fail"]
    body = monitor.pings[1][1]
    assert body.startswith("error: ")
    assert "next:" in body
    assert body.endswith("exit code 3")
    assert "s3cretive" not in body


def test_a_monitor_that_refuses_changes_nothing(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    with receiving(503) as monitor:
        done = run_inside(
            "backup", "--dir", str(tmp_path), "--json", "--ping", monitor.url,
            database=aperture_database(),
        )  # fmt: skip
    assert done.code == 0
    assert done.err.count(f"could not ping 127.0.0.1:{monitor.server_port}: it answered 503") == 2
    assert "check-1" not in done.err
    assert len(done.envelope["warnings"]) == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:{port}/x", "Connection refused"),
        ("http://no.such.host.invalid/x", "could not ping no.such.host.invalid:"),
    ],
)
def test_a_monitor_that_is_not_there(url: str, reason: str, aperture_database: NewDatabase) -> None:
    url = url.format(port=free_port())
    done = run_inside("stats", "--record", "--ping", url, database=aperture_database())
    assert done.code == 0
    assert reason in done.err


def test_a_monitor_that_does_not_answer(
    aperture_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ping, "TIMEOUT_SECONDS", 0.3)
    with listening(lambda _connection: None) as port:
        started = time.monotonic()
        url = f"http://127.0.0.1:{port}/x"
        done = run_inside("stats", "--record", "--ping", url, database=aperture_database())
    assert done.code == 0
    assert "could not ping" in done.err
    assert time.monotonic() - started < 20


def test_credentials_of_a_monitor_behind_a_proxy(
    aperture_database: NewDatabase, monitor: Receiver
) -> None:
    url = monitor.url.replace("//", "//cron:p%40ss@")
    done = run_inside("stats", "--record", "--ping", url, database=aperture_database())
    assert (done.code, "p@ss" in done.err) == (0, False)
    assert monitor.headers[0]["Authorization"] == "Basic Y3JvbjpwQHNz"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "hc-ping.com/x", "http://", "http://a:b/"])
def test_what_is_no_url_to_ping(url: str, aperture_database: NewDatabase) -> None:
    done = run_inside("stats", "--record", "--ping", url, database=aperture_database())
    assert done.code == 2
    assert "the URL to ping is not usable" in done.err


def test_a_signal_is_a_failure(aperture_database: NewDatabase, monitor: Receiver) -> None:
    conninfo = aperture_database()
    url = f"http://127.0.0.1:{monitor.server_port}/y"
    process = start_cli("backup", "--dir", "/", "--wait", "60", "--ping", url,
                        conninfo=f"host=127.0.0.1 port={free_port()} dbname=x")  # fmt: skip
    assert conninfo
    wait_until(lambda: monitor.paths == ["/y/start"], "it has started")
    assert process.stderr is not None
    process.stderr.readline()
    process.terminate()
    assert finish(process).code == 143
    assert monitor.paths == ["/y/start", "/y/fail"]
    assert "interrupted" in monitor.pings[1][1]


def test_only_the_end_of_a_long_report_is_sent() -> None:
    text = "".join(f"line {number} ä\n" for number in range(5_000))
    body = ping.last_lines(text).decode()
    assert len(body.encode()) <= ping.MAX_BODY_BYTES
    assert body.startswith("line ")
    assert body.endswith("line 4999 ä")
    assert ping.last_lines("ä" * 20_000).decode().strip("ä") == ""
