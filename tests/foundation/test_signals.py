"""Ctrl-C and SIGTERM: the statement ends on the server, one line says what was done."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from aperture_db.cli.command import Terminated, raising_on_termination
from aperture_db.postgres.connection import connect
from aperture_db.postgres.embedded import free_port
from aperture_db.postgres.settings import resolve_target
from tests.cli import Outcome, finish
from tests.foundation.listeners import listening, stay_silent
from tests.foundation.running import start_probe
from tests.waiting import wait_until

SLEEP = ("--sql", "SELECT pg_sleep(600)")
RUNNING = """
SELECT FROM pg_stat_activity
WHERE datname = %s AND application_name = 'aperture-db' AND state = 'active'
  AND query LIKE '%%pg_sleep%%'
"""


def running_statements(admin: psycopg.Connection, conninfo: str) -> int:
    return admin.execute(RUNNING, [conninfo_to_dict(conninfo)["dbname"]]).rowcount


@contextmanager
def sleeping_probe(
    admin_conninfo: str, conninfo: str, *arguments: str
) -> Iterator[subprocess.Popen[str]]:
    """A probe in the middle of a statement that takes for ever, which must not outlive it."""
    process = start_probe(*SLEEP, *arguments, conninfo=conninfo)
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        wait_until(lambda: running_statements(admin, conninfo), "the statement runs")
        yield process
        wait_until(lambda: not running_statements(admin, conninfo), "the statement has ended")


def interrupt(process: subprocess.Popen[str], number: int) -> Outcome:
    process.send_signal(number)
    return finish(process)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_the_statement_is_cancelled(
    number: int, code: int, admin_conninfo: str, new_database: Callable[[], str]
) -> None:
    with sleeping_probe(admin_conninfo, new_database()) as process:
        done = interrupt(process, number)
    assert (done.code, done.out) == (code, "")
    assert done.err.splitlines() == [
        "running: SELECT pg_sleep(600)",
        "interrupted: the probe was rolled back",
    ]


def test_behind_a_pooler(
    admin_conninfo: str,
    new_database: Callable[[], str],
    pgbouncer_conninfo: Callable[[str], str],
) -> None:
    with sleeping_probe(admin_conninfo, pgbouncer_conninfo(new_database())) as process:
        done = interrupt(process, signal.SIGTERM)
    assert done.code == 143
    assert done.err.splitlines()[1:] == ["interrupted: the probe was rolled back"]


def test_in_json(admin_conninfo: str, new_database: Callable[[], str]) -> None:
    with sleeping_probe(admin_conninfo, new_database(), "--json") as process:
        done = interrupt(process, signal.SIGTERM)
    assert json.loads(done.out)["error"] == {
        "code": "interrupted",
        "message": "interrupted",
        "cause": "the probe was rolled back",
        "next": "run the command again",
    }


def test_an_interruption_beside_psycopg_leaves_nothing_running(
    admin_conninfo: str, new_database: Callable[[], str]
) -> None:
    conninfo = new_database()

    def work(admin: psycopg.Connection) -> None:
        with connect(resolve_target(conninfo, None, {})) as conn, conn.transaction():
            # As when the signal arrives between sending and waiting.
            conn.pgconn.send_query(b"SELECT pg_sleep(600)")
            wait_until(lambda: running_statements(admin, conninfo), "the statement runs")
            raise Terminated(signal.SIGTERM)

    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        with pytest.raises(Terminated):
            work(admin)
        wait_until(lambda: not running_statements(admin, conninfo), "the statement has ended")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_while_connecting(number: int, code: int) -> None:
    with listening(stay_silent) as port:
        # Long enough that only the signal ends it.
        process = start_probe(
            "--connect-timeout", "600", "-v", conninfo=f"postgresql://u@127.0.0.1:{port}/d"
        )
        assert process.stderr is not None
        process.stderr.readline()
        done = interrupt(process, number)
    assert (done.code, done.err) == (code, "interrupted: the probe was rolled back\n")


def test_while_waiting_for_the_database() -> None:
    process = start_probe("--wait", "600", conninfo=f"postgresql://u@127.0.0.1:{free_port()}/d")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("waiting up to 600 s for the database: ")
    done = interrupt(process, signal.SIGTERM)
    assert (done.code, done.err) == (143, "interrupted: the probe was rolled back\n")


def test_a_second_signal_leaves_the_clean_up_alone() -> None:
    cleaned_up = []
    before = signal.getsignal(signal.SIGTERM)

    def work() -> None:
        with raising_on_termination():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGHUP)
                cleaned_up.append(True)

    with pytest.raises(Terminated) as caught:
        work()
    assert cleaned_up
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_nohup_keeps_its_effect() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raising_on_termination():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
