"""Sessions that hold Aperture up, and connections that run out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from tests.health.conftest import follow_advice, read_check, read_health, run_health
from tests.servers.crowded import CrowdedServer
from tests.servers.roles import Rights
from tests.waiting import wait_until


@contextmanager
def idle_session(conninfo: str, statement: str = "SELECT 1") -> Iterator[psycopg.Connection]:
    """A session that ran the statement in a transaction and then did nothing."""
    conn = psycopg.connect(conninfo, application_name="forgetful")
    try:
        conn.execute(statement.encode())
        yield conn
    finally:
        conn.close()


@contextmanager
def blocked_session(conninfo: str, statement: str) -> Iterator[None]:
    """A session that waits for a lock from here on."""

    def wait() -> None:
        with psycopg.connect(conninfo, application_name="patient") as conn:
            conn.execute(statement.encode())

    waiting = threading.Thread(target=wait)
    waiting.start()
    with psycopg.connect(conninfo, autocommit=True) as conn:
        is_waiting = (
            "SELECT true FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) "
            "WHERE NOT l.granted AND a.application_name = 'patient' "
            "AND a.datname = current_database()"
        )
        wait_until(lambda: conn.execute(is_waiting).fetchone(), "the statement waits")
    yield
    waiting.join()


def test_a_session_idle_in_a_transaction_is_named_and_can_be_ended(migrated: str) -> None:
    limits = ("--warn", "idle-in-transaction=0")
    before = read_health(migrated, *limits)
    with idle_session(migrated) as idle:
        reading = read_health(migrated, *limits)
        assert reading.changed_since(before) == {"idle-in-transaction"}
        check = reading["idle-in-transaction"]
        assert check["status"] == "warning"
        assert f"pid {idle.info.backend_pid}, forgetful, user postgres, is idle" in check["reason"]
        assert check["advice"] == [f"SELECT pg_terminate_backend({idle.info.backend_pid});"]
        follow_advice(migrated, check)
        wait_until(
            lambda: read_health(migrated, *limits).changed_since(before) == set(),
            "the session is gone",
        )


def test_idle_sessions_below_the_threshold_are_only_counted(migrated: str) -> None:
    with idle_session(migrated):
        check = read_check(migrated, "idle-in-transaction")
    assert check["status"] == "ok"
    assert check["summary"].startswith("1, for up to ")


def test_a_blocked_query_names_who_blocks_it(migrated: str) -> None:
    limits = ("--warn", "blocked-queries=0")
    before = read_health(migrated, *limits)
    lock = "LOCK TABLE channels IN ROW EXCLUSIVE MODE"
    with (
        idle_session(migrated, lock) as idle,
        blocked_session(migrated, "LOCK TABLE channels IN SHARE MODE"),
    ):
        pid = idle.info.backend_pid
        reading = read_health(migrated, *limits)
        assert reading.changed_since(before) == {"blocked-queries"}
        check = reading["blocked-queries"]
        assert check["status"] == "warning"
        assert f"pid {pid}, forgetful, user postgres, idle in transaction" in check["reason"]
        assert "keeps 1 session waiting for" in check["reason"]
        assert check["advice"] == [f"SELECT pg_terminate_backend({pid});"]
        follow_advice(migrated, check)
    assert read_health(migrated, *limits).changed_since(before) == set()


def test_a_chain_of_blocked_queries_is_blamed_on_its_beginning(migrated: str) -> None:
    with (
        idle_session(migrated, "LOCK TABLE channels") as idle,
        blocked_session(migrated, "SELECT FROM channels"),
        blocked_session(migrated, "LOCK TABLE channels"),
    ):
        check = read_check(migrated, "blocked-queries", "--crit", "blocked-queries=0")
        assert check["status"] == "critical"
        assert len(check["findings"]) == 1
        assert "keeps 2 sessions waiting" in check["reason"]
        assert check["advice"] == [f"SELECT pg_terminate_backend({idle.info.backend_pid});"]
        follow_advice(migrated, check)


def test_a_transaction_that_runs_on_is_named(migrated: str) -> None:
    def run_on() -> None:
        with (
            psycopg.connect(migrated, application_name="diligent") as conn,
            pytest.raises(psycopg.OperationalError),
        ):
            conn.execute("SELECT pg_sleep(600)")

    before = read_health(migrated, "--warn", "long-transactions=0.001")
    running = threading.Thread(target=run_on)
    running.start()
    with psycopg.connect(migrated, autocommit=True) as conn:
        sleeping = (
            "SELECT true FROM pg_stat_activity WHERE application_name = 'diligent' "
            "AND state = 'active' AND datname = current_database()"
        )
        wait_until(lambda: conn.execute(sleeping).fetchone(), "the transaction runs")
    reading = read_health(migrated, "--warn", "long-transactions=0.001")
    assert reading.changed_since(before) == {"long-transactions"}
    assert (
        "diligent, user postgres, has a transaction open for"
        in (reading["long-transactions"]["reason"])
    )
    follow_advice(migrated, reading["long-transactions"])
    running.join()
    assert read_check(migrated, "long-transactions")["status"] == "ok"


def test_a_forgotten_prepared_transaction_can_be_rolled_back(migrated: str) -> None:
    with psycopg.connect(migrated, autocommit=True) as conn:
        conn.execute("BEGIN")
        conn.execute("CREATE TABLE forgotten ()")
        conn.execute("PREPARE TRANSACTION 'it''s forgotten'")
    check = read_check(migrated, "long-transactions", "--warn", "long-transactions=0")
    assert check["status"] == "warning"
    assert check["advice"] == ["ROLLBACK PREPARED 'it''s forgotten';"]
    follow_advice(migrated, check)
    assert read_check(migrated, "long-transactions")["status"] == "ok"


@pytest.mark.parametrize(
    ("sessions", "status", "code"), [(15, "ok", 0), (16, "warning", 1), (19, "critical", 2)]
)
def test_connections_that_run_out(migrated: str, sessions: int, status: str, code: int) -> None:
    """Superusers get in beyond the limit; the run itself takes one."""
    before = read_health(migrated)
    with ExitStack() as stack:
        for _ in range(sessions - 1):
            conn = stack.enter_context(psycopg.connect(migrated, autocommit=True))
        conn.execute(f'ALTER DATABASE "{conn.info.dbname}" CONNECTION LIMIT 20')
        reading = read_health(migrated)
        assert reading.code == code
        assert reading.changed_since(before) == ({"connections"} if code else set())
        check = reading["connections"]
        assert (check["status"], check["summary"]) == (status, f"{sessions} of 20")
        if code:
            assert f"{sessions} of the 20 connections of database test_" in check["reason"]
            follow_advice(migrated, check)
    assert read_health(migrated).changed_since(before) == set()


def test_the_owners_limit_counts_for_whoever_looks(
    migrated: str, role_of: Callable[[str, Rights], str]
) -> None:
    """Monitoring connects as another role than Aperture, which reaches the limit."""
    owner = role_of(migrated, "owner")
    reader = role_of(migrated, "read")
    name = psycopg.conninfo.conninfo_to_dict(owner)["user"]
    with psycopg.connect(migrated, autocommit=True) as conn:
        conn.execute(f'ALTER ROLE "{name}" CONNECTION LIMIT 5')
    assert read_check(reader, "connections")["status"] == "ok"
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(psycopg.connect(owner))
        check = read_check(reader, "connections")
        assert (check["status"], check["summary"]) == ("critical", "5 of 5")
        assert f"connections of role {name} are in use" in check["reason"]
        assert check["advice"][1:] == [f'ALTER ROLE "{name}" CONNECTION LIMIT -1;']
        follow_advice(migrated, check)
        assert read_check(reader, "connections")["status"] == "ok"


def test_a_limit_of_0_lets_only_superusers_in(migrated: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(migrated)["dbname"]
    with psycopg.connect(migrated, autocommit=True) as conn:
        conn.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
    check = read_check(migrated, "connections")
    assert check["status"] == "critical"
    assert check["reason"] == (
        f"database {name} has CONNECTION LIMIT 0: only superusers can connect"
    )
    follow_advice(migrated, check)
    assert read_check(migrated, "connections")["status"] == "ok"


def test_a_superuser_is_told_whom_to_use_instead(
    migrated: str, role_of: Callable[[str, Rights], str]
) -> None:
    check = read_check(migrated, "superuser")
    assert (check["status"], check["value"]) == ("info", "yes")
    assert "connected as a superuser, postgres" in check["reason"]
    assert check["advice"] == [
        "let an ordinary role own the database and Aperture's tables, and connect as it"
    ]
    owner = role_of(migrated, "owner")
    name = psycopg.conninfo.conninfo_to_dict(owner)["user"]
    assert read_check(migrated, "superuser")["advice"] == [
        f"connect as {name}, the owner, for everyday work"
    ]
    assert read_check(owner, "superuser")["status"] == "ok"


def test_a_server_without_a_connection_left_is_critical(crowded_server: CrowdedServer) -> None:
    reading = read_health(crowded_server.visitor)
    assert reading.code == 2
    assert reading["reachable"]["status"] == "critical"
    assert "the server has no free connection slots" in reading["reachable"]["reason"]
    check = read_check(crowded_server.superuser, "connections")
    assert (check["status"], check["summary"]) == ("critical", "3 of 2")
    assert check["advice"][1] == "ALTER SYSTEM SET max_connections = 100;"


NEED_PG_MONITOR = {
    "idle-in-transaction", "blocked-queries", "long-transactions", "pending-restart",
}  # fmt: skip


def test_a_role_without_pg_monitor_gets_skips_with_the_grant(
    migrated: str, role_of: Callable[[str, Rights], str]
) -> None:
    before = read_health(migrated)
    role = role_of(migrated, "read")
    reading = read_health(role)
    assert reading.code == 0
    assert reading.changed_since(before) == {*NEED_PG_MONITOR, "configuration-files", "superuser"}
    for check_id in NEED_PG_MONITOR:
        check = reading[check_id]
        assert (check["status"], check["skipped_because"]) == ("skipped", "privilege")
        assert check["advice"][0].startswith('GRANT pg_monitor TO "test_read_')
    assert read_health(role, "--strict").code == 3
    quiet = run_health(role, "-q", "--strict")
    assert quiet.code == 3
    assert "skipped  blocked-queries\n" in quiet.out
    assert 'GRANT pg_monitor TO "test_read_' in quiet.out
    assert run_health(role, "-q").out == ""
    follow_advice(migrated, reading["blocked-queries"])
    follow_advice(migrated, reading["configuration-files"])
    granted = read_health(role, "--strict")
    assert (granted.code, granted.changed_since(before)) == (0, {"superuser"})
