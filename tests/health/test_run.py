"""No check can end the run or hold it up."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from functools import partial

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.health import run as health_run
from aperture_db.health.check import Check, CheckOutcome, CheckSelection, Context
from aperture_db.health.report import Area, HealthReport, Verdict
from aperture_db.health.run import run_checks
from aperture_db.postgres.connection import connect
from aperture_db.postgres.settings import resolve_target
from tests.foundation.listeners import listening
from tests.health.conftest import read_health, run_health
from tests.health.test_queries import execute
from tests.health.test_sessions import idle_session

STALL = "stall here"


def make_check(check_id: str, look: Callable[[Context], object]) -> Check:
    def look_and_tell(context: Context) -> CheckOutcome:
        look(context)
        return CheckOutcome("looked")

    return Check(check_id, Area.CONNECTION, "", "", None, look_and_tell)


def running(statement: str) -> Callable[[Context], object]:
    return lambda context: context.conn.execute(statement.encode())


def run(conninfo: str, *checks: Check, timeout_seconds: float = 5.0) -> HealthReport:
    target = resolve_target(conninfo, None, {})
    selection = CheckSelection(timeout_seconds=timeout_seconds)
    return run_checks(partial(connect, target, read_only=True), target, checks, selection)


GOOD = make_check("good", running("SELECT 1"))


def told(report: HealthReport) -> list[tuple[str, str | None]]:
    """What became of each check: its status, or why it was skipped."""
    return [(check.id, check.skipped_because or check.status) for check in report.checks]


def test_a_check_that_fails_is_unknown_and_the_others_go_on(migrated: str) -> None:
    def stumble(_context: Context) -> None:
        raise ValueError("not thought of")

    report = run(
        migrated,
        make_check("stumbling", stumble),
        make_check("mistaken", running("SELECT no_such_column")),
        GOOD,
    )
    assert told(report) == [("stumbling", "failed"), ("mistaken", "failed"), ("good", "ok")]
    assert report.verdict is Verdict.UNKNOWN
    assert report.checks[0].reason == "the check itself failed: ValueError: not thought of"
    assert report.checks[1].reason == 'column "no_such_column" does not exist'


def test_a_check_that_takes_too_long_is_given_up(migrated: str) -> None:
    slow = make_check("slow", running("SELECT pg_sleep(60)"))
    report = run(migrated, slow, GOOD, timeout_seconds=0.2)
    assert told(report) == [("slow", "timeout"), ("good", "ok")]
    assert report.verdict.exit_code == 3
    assert report.checks[0].reason == "no result within 0.2 s"
    assert report.checks[0].advice == ("aperture-db health --only slow --timeout 2.4",)


def test_a_check_cannot_write(migrated: str) -> None:
    report = run(migrated, make_check("writing", running("DELETE FROM public.job_config")))
    assert told(report) == [("writing", "failed")]
    assert "read-only transaction" in str(report.checks[0].reason)


def test_a_lost_connection_is_opened_again(migrated: str) -> None:
    suicidal = make_check("suicidal", running("SELECT pg_terminate_backend(pg_backend_pid())"))
    report = run(migrated, GOOD, suicidal, GOOD)
    assert told(report) == [("good", "ok"), ("suicidal", "failed"), ("good", "ok")]
    assert report.error is None


def relayed(conninfo: str, connections: int) -> Callable[[socket.socket], None]:
    """Passes bytes on, until the client sends STALL; after so many connections, hangs up."""
    parts = conninfo_to_dict(conninfo)
    left = iter(range(connections))

    def answer(client: socket.socket) -> None:
        if next(left, None) is None:
            return
        with socket.create_connection((str(parts["host"]), int(str(parts["port"])))) as server:
            while True:
                readable, _, _ = select.select([client, server], [], [])
                source = readable[0]
                received = source.recv(65536)
                if not received:
                    return
                if STALL.encode() in received:
                    while client.recv(65536):
                        pass
                    return
                (server if source is client else client).sendall(received)

    return answer


STALLING = make_check("stalling", running(f"SELECT '{STALL}'"))


def test_a_network_that_stalls_is_cut_off(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_run, "GRACE_SECONDS", 0.3)
    with listening(relayed(migrated, 2)) as port:
        conninfo = make_conninfo(migrated, host="127.0.0.1", port=port)
        report = run(conninfo, GOOD, STALLING, GOOD, timeout_seconds=0.2)
    assert told(report) == [("good", "ok"), ("stalling", "timeout"), ("good", "ok")]
    assert report.checks[1].reason == "no answer within 0.5 s, so the connection was cut"


def test_a_server_that_goes_away_meanwhile_is_critical(
    migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_run, "GRACE_SECONDS", 0.3)
    with listening(relayed(migrated, 1)) as port:
        conninfo = make_conninfo(migrated, host="127.0.0.1", port=port)
        report = run(conninfo, GOOD, STALLING, GOOD, timeout_seconds=0.2)
    assert told(report) == [
        ("reachable", "critical"), ("good", "ok"), ("stalling", "timeout"), ("good", "unreachable"),
    ]  # fmt: skip
    assert report.verdict is Verdict.CRITICAL
    assert report.error is not None


def test_a_locked_table_makes_its_checks_unknown_and_names_the_holder(library: str) -> None:
    before = read_health(library)
    with idle_session(library, "LOCK TABLE movies IN ACCESS EXCLUSIVE MODE") as holder:
        pid = holder.info.backend_pid
        reading = read_health(library, "--timeout", "400ms")
    assert reading.code == 3
    locked = {n for n, c in reading.checks.items() if c["skipped_because"] == "locked"}
    assert {"orphaned-rows", "embedding-coverage"} <= locked
    assert reading.changed_since(before) == locked
    check = reading["orphaned-rows"]
    assert f"a table is locked by pid {pid}, forgetful" in check["reason"]
    assert check["advice"] == [f"SELECT pg_terminate_backend({pid});"]


def test_a_check_that_times_out_exits_with_3(migrated: str) -> None:
    execute(
        migrated,
        "ALTER TABLE job_runs RENAME TO runs",
        "CREATE TABLE job_runs (LIKE runs)",
        "INSERT INTO job_runs (id, job_name, status, started_at, completed_at, duration_ms) "
        "SELECT gen_random_uuid(), 'x' || n, 'failed', now(), now(), 1 "
        "FROM generate_series(1, 200000) AS n",
    )
    outcome = run_health(migrated, "--only", "failed-jobs", "--timeout", "5ms")
    assert outcome.code == 3
    assert "unknown  failed-jobs\n  no result within 0.005 s" in outcome.out
    assert "Partly unknown: 1 unknown, 0 ok" in outcome.out
