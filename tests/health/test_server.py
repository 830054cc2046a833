"""Replication, WAL archiving and the configuration of servers of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from aperture_db.health.checks import server
from tests.health.conftest import follow_advice, read_check, read_health
from tests.health.test_queries import execute
from tests.servers.clusters import start_server
from tests.servers.programs import server_under_test
from tests.servers.roles import Rights, drop_role, make_role
from tests.servers.shared import SharedServers
from tests.servers.standby import ReplicatedDatabase, start_standby
from tests.waiting import wait_until

SETTINGS = {
    "wal_level": "logical",
    "archive_mode": "on",
    "archive_command": "true",
    "max_connections": "20",
}
RELOAD = "SELECT pg_reload_conf()"


@pytest.fixture
def primary(servers: SharedServers) -> Iterator[str]:
    """Superuser access to a server that archives its WAL, and that only this test changes."""
    answer = servers.get(
        "archiving", lambda home: start_server(server_under_test(), home, SETTINGS)
    )
    with servers.exclusive("archiving-test"):
        yield answer["conninfo"]


@pytest.fixture
def pair(servers: SharedServers) -> Iterator[ReplicatedDatabase]:
    """A primary and its standby that only this test changes."""
    answer = servers.get("lagging", lambda home: start_standby(server_under_test(), home))
    with servers.exclusive("lagging-test"):
        yield ReplicatedDatabase(answer["primary"], answer["standby"])


@pytest.fixture
def role_on_primary(primary: str) -> Iterator[Callable[[Rights], str]]:
    made: list[str] = []

    def make(rights: Rights) -> str:
        made.append(make_role(primary, rights))
        return made[-1]

    yield make
    for role in made:
        drop_role(primary, role)


@contextmanager
def setting(conninfo: str, name: str, value: str) -> Iterator[None]:
    """A setting of the server that is loaded, and taken back after the block."""
    execute(conninfo, f"ALTER SYSTEM SET {name} = {value}", RELOAD)
    try:
        yield
    finally:
        execute(conninfo, f"ALTER SYSTEM RESET {name}", RELOAD)


@contextmanager
def slot(conninfo: str, creation: str) -> Iterator[None]:
    execute(conninfo, "CHECKPOINT", f"SELECT {creation}")
    try:
        yield
    finally:
        execute(
            conninfo, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
            "WHERE NOT active",
        )  # fmt: skip


def write_segments(conninfo: str, number: int) -> None:
    for _ in range(number):
        execute(
            conninfo,
            "SELECT pg_logical_emit_message(false, 'test', 'wal')",
            "SELECT pg_switch_wal()",
        )


def answer(conninfo: str, query: str) -> object:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


GONE = "pg_create_physical_replication_slot('gone', true)"


def test_a_slot_that_nobody_uses_is_dropped_as_advised(primary: str) -> None:
    before = read_health(primary)
    assert before["replication-slots"]["summary"] == "none"
    with slot(primary, GONE):
        check = read_check(primary, "replication-slots")
        assert check["status"] == "info"
        assert check["reason"].startswith("the physical replication slot gone keeps ")
        write_segments(primary, 7)
        reading = read_health(primary)
        assert reading.changed_since(before) == {"replication-slots"}
        check = reading["replication-slots"]
        assert check["status"] == "warning"
        assert check["value"] >= 100 << 20
        assert "; nobody has used it " in check["reason"]
        assert check["advice"][1] == "SELECT pg_drop_replication_slot('gone');"
        critical = read_check(primary, "replication-slots", "--crit", "replication-slots=100MB")
        assert critical["status"] == "critical"
        ignored = read_check(primary, "replication-slots", "--ignore", "replication-slots:gone")
        assert ignored["status"] == "ok"
        follow_advice(primary, check)
    assert read_health(primary).changed_since(before) == set()


def test_a_slot_in_use_may_keep_more(primary: str) -> None:
    limits = ("--warn", "replication-slots=1MB", "--crit", "replication-slots=40MB")
    with psycopg.connect(primary, autocommit=True) as session:
        session.execute("CHECKPOINT")
        session.execute("SELECT pg_create_physical_replication_slot('busy', true, true)")
        write_segments(primary, 1)
        assert read_check(primary, "replication-slots", *limits)["status"] == "ok"
        write_segments(primary, 2)
        check = read_check(primary, "replication-slots", *limits)
        assert (check["status"], check["summary"]) == ("warning", "1 in use")
        assert "drop" not in " ".join(check["advice"])


def test_a_slot_that_reaches_its_limit_is_lost(primary: str) -> None:
    with setting(primary, "max_slot_wal_keep_size", "'96MB'"), slot(primary, GONE):
        write_segments(primary, 6)
        near = read_check(primary, "replication-slots")
        assert near["status"] == "warning"
        assert "% of max_slot_wal_keep_size" in near["reason"]
        write_segments(primary, 4)
        beyond = read_check(primary, "replication-slots")
        assert beyond["status"] == "critical"
        assert "the next checkpoint may remove it" in beyond["reason"]
        execute(primary, "CHECKPOINT")
        lost = read_check(primary, "replication-slots")
        assert lost["status"] == "critical"
        assert "the physical replication slot gone is lost" in lost["reason"]
        follow_advice(primary, lost)
        assert read_check(primary, "replication-slots")["status"] == "ok"


def test_a_slot_that_keeps_dead_rows(primary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MANY_TRANSACTIONS", 3)
    with slot(primary, "pg_create_logical_replication_slot('feed', 'pgoutput')"):
        assert read_check(primary, "replication-slots")["status"] == "info"
        for _ in range(3):
            execute(primary, "SELECT pg_current_xact_id()")
        check = read_check(primary, "replication-slots")
        assert check["status"] == "warning"
        assert "dead rows of 3 transactions can't be removed" in check["reason"]
        assert "start its subscriber" in check["advice"][0]


def has_failed(conninfo: str) -> object:
    return answer(
        conninfo,
        "SELECT last_failed_time > coalesce(last_archived_time, '-infinity') FROM pg_stat_archiver",
    )


def test_archiving_that_fails(primary: str, role_on_primary: Callable[[Rights], str]) -> None:
    before = read_health(primary)
    assert before["archiving"]["status"] == "ok"
    role = role_on_primary("read")
    hidden = read_check(role, "archiving")
    assert (hidden["status"], hidden["skipped_because"]) == ("skipped", "privilege")
    assert hidden["advice"][0].startswith('GRANT pg_monitor TO "test_read_')
    with setting(primary, "archive_command", "'false'"):
        write_segments(primary, 1)
        wait_until(lambda: has_failed(primary), "archiving fails")
        reading = read_health(primary)
        assert reading.changed_since(before) == {"archiving"}
        check = reading["archiving"]
        assert (check["status"], check["summary"]) == ("warning", "1 waiting")
        assert "archiving 0000000" in check["reason"]
        assert check["reason"].endswith("; 1 segment of WAL waiting")
        assert read_check(primary, "archiving", "--crit", "archiving=1")["status"] == "critical"
        assert read_check(role, "archiving")["status"] == "warning"
    wait_until(lambda: not has_failed(primary), "archiving succeeds")
    wait_until(lambda: read_health(primary).changed_since(before) == set(), "nothing waits")
    follow_advice(primary, hidden)
    assert read_check(role, "archiving")["status"] == "ok"


def test_archiving_without_a_command(primary: str) -> None:
    with setting(primary, "archive_command", "''"):
        check = read_check(primary, "archiving")
        assert check["status"] == "warning"
        assert "without an archive_command: the server keeps all WAL" in check["reason"]
    wait_until(lambda: read_check(primary, "archiving")["status"] == "ok", "it is archived")


def test_archiving_that_is_stuck(primary: str, servers: SharedServers) -> None:
    go = servers.directory / "archive-goes-on"
    command = f"'until test -e {go}; do sleep 0.05; done'"
    try:
        with setting(primary, "archive_command", command):
            write_segments(primary, 2)
            wait_until(
                lambda: read_check(primary, "archiving", "--warn", "archiving=2")["value"] == 2,
                "two segments wait",
            )
            check = read_check(primary, "archiving", "--warn", "archiving=2")
            assert check["status"] == "warning"
            assert "slower than the server writes, or stuck" in check["reason"]
            assert read_check(primary, "archiving")["status"] == "ok"
    finally:
        Path(go).touch()
    wait_until(lambda: read_check(primary, "archiving")["value"] == 0, "nothing waits")


def test_replicas_that_keep_up(pair: ReplicatedDatabase) -> None:
    pair.wait_until_replayed()
    wait_until(
        lambda: read_check(pair.primary, "replica-lag")["summary"].startswith("1 replica, "),
        "the standby is connected",
    )
    assert read_check(pair.primary, "replica-lag")["status"] == "ok"
    check = read_check(pair.standby, "replica-lag")
    assert (check["status"], check["summary"]) == ("ok", "a standby, up to 0 ms behind")
    role = make_role(pair.primary, "read")
    try:
        hidden = read_check(role, "replica-lag")
        assert (hidden["status"], hidden["skipped_because"]) == ("skipped", "privilege")
        follow_advice(pair.primary, hidden)
        assert read_check(role, "replica-lag")["status"] == "ok"
    finally:
        drop_role(pair.primary, role)


def test_a_standby_that_does_not_replay(
    pair: ReplicatedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "FAR_BEHIND_BYTES", 1 << 20)
    pair.wait_until_replayed()
    execute(pair.primary, "SELECT pg_current_xact_id()")
    execute(pair.standby, "SELECT pg_wal_replay_pause()")
    try:
        execute(pair.primary, "SELECT pg_logical_emit_message(true, '', repeat('x', 2000000))")
        behind = "the primary knows"
        wait_until(lambda: read_check(pair.primary, "replica-lag")["status"] == "warning", behind)
        check = read_check(pair.primary, "replica-lag")
        assert "1.91 MB of WAL behind" in check["reason"]
        assert check["findings"][0]["object"] == "walreceiver"
        paused = read_check(pair.standby, "replica-lag")
        assert paused["status"] == "warning"
        assert paused["reason"].startswith("this standby's replay is paused, ")
        assert paused["advice"] == ["SELECT pg_wal_replay_resume();"]
        old = read_check(pair.standby, "replica-lag", "--crit", "replica-lag=0")
        assert old["status"] == "critical"
        assert old["reason"].startswith("this standby's newest transaction is ")
        follow_advice(pair.standby, paused)
        pair.wait_until_replayed()
        assert read_check(pair.standby, "replica-lag")["status"] == "ok"
    finally:
        execute(pair.standby, "SELECT pg_wal_replay_resume()")
    wait_until(
        lambda: read_check(pair.primary, "replica-lag")["status"] == "ok", "it has caught up"
    )


def test_a_standby_without_its_primary(pair: ReplicatedDatabase) -> None:
    connected = "SELECT count(*) FROM pg_stat_wal_receiver"
    with setting(pair.standby, "primary_conninfo", "'port=1'"):
        wait_until(lambda: answer(pair.standby, connected) == 0, "it has lost its primary")
        check = read_check(pair.standby, "replica-lag")
        assert check["status"] == "warning"
        assert check["reason"].startswith("this standby is not connected to its primary")
        with setting(pair.standby, "restore_command", "'false'"):
            wait_until(
                lambda: read_check(pair.standby, "replica-lag")["status"] == "info",
                "it asks the archive",
            )
    wait_until(lambda: read_check(pair.standby, "replica-lag")["status"] == "ok", "it is connected")


@pytest.mark.parametrize(
    ("names", "status"), [("*", "ok"), ("missing", "critical"), ("ANY 2 (*)", "critical")]
)
def test_commits_that_wait_for_a_standby(pair: ReplicatedDatabase, names: str, status: str) -> None:
    pair.wait_until_replayed()
    with setting(pair.primary, "synchronous_standby_names", f"'{names}'"):
        wait_until(
            lambda: read_check(pair.primary, "replica-lag")["status"] == status,
            f"the check is {status}",
        )
        check = read_check(pair.primary, "replica-lag")
        if status == "critical":
            needed = "2 standbys and 1" if names.startswith("ANY") else "1 standby and 0"
            assert f"synchronous_standby_names needs {needed} can confirm" in check["reason"]
            follow_advice(pair.primary, check)
    wait_until(
        lambda: read_check(pair.primary, "replica-lag")["status"] == "ok", "nothing has to confirm"
    )


def test_settings_that_wait_for_a_restart(
    primary: str, role_on_primary: Callable[[Rights], str]
) -> None:
    before = read_health(primary)
    assert before["pending-restart"]["status"] == before["configuration-files"]["status"] == "ok"
    role = role_on_primary("read")
    hidden = read_check(role, "pending-restart")
    assert (hidden["status"], hidden["skipped_because"]) == ("skipped", "privilege")
    execute(primary, "ALTER SYSTEM SET max_connections = 30")
    try:
        reading = read_health(primary)
        assert reading.changed_since(before) == {"pending-restart"}
        check = reading["pending-restart"]
        assert (check["status"], check["summary"]) == ("warning", "max_connections")
        assert check["advice"] == ["restart the server when nobody works"]
        managed = make_conninfo(primary, host="mine.rds.amazonaws.com", hostaddr="127.0.0.1")
        assert read_check(managed, "pending-restart")["advice"] == [
            "restart the server in the service's console"
        ]
        execute(primary, RELOAD)
        wait_until(
            lambda: read_check(role, "pending-restart")["status"] == "warning",
            "every role sees it",
        )
    finally:
        execute(primary, "ALTER SYSTEM RESET max_connections", RELOAD)
    wait_until(lambda: read_health(primary).changed_since(before) == set(), "nothing waits")
    follow_advice(primary, hidden)
    assert read_check(role, "pending-restart")["status"] == "ok"


@contextmanager
def line_in(conninfo: str, file: str, line: str) -> Iterator[None]:
    """A line at the end of a file of the server."""
    path = answer(conninfo, f"SHOW {file}")
    execute(conninfo, f"COPY (SELECT $line${line}$line$) TO PROGRAM 'cat >> \"{path}\"'")
    try:
        yield
    finally:
        execute(conninfo, f"COPY (SELECT) TO PROGRAM 'sed -i ''$d'' \"{path}\"'", RELOAD)


@pytest.mark.parametrize(
    ("file", "line", "reason"),
    [
        ("config_file", "work_mem = lots", "work_mem: setting could not be applied"),
        ("config_file", "no_such = 1", "no_such: unrecognized configuration parameter"),
        ("config_file", "work_mem 64 MB", ": syntax error"),
        ("config_file", "max_connections = many", "max_connections: setting could not"),
        ("hba_file", "host all all 127.0.0.1/32 nonsense", "nonsense"),
    ],
)
def test_files_with_errors(primary: str, file: str, line: str, reason: str) -> None:
    before = read_health(primary)
    with line_in(primary, file, line):
        reading = read_health(primary)
        assert reading.changed_since(before) == {"configuration-files"}
        check = reading["configuration-files"]
        assert check["status"] == "critical"
        assert reason in check["reason"]
        path = answer(primary, f"SHOW {file}")
        assert check["advice"][0].endswith(f" of {path}, and then:")
    assert read_health(primary).changed_since(before) == set()


def test_a_role_that_may_not_read_the_files(
    primary: str, role_on_primary: Callable[[Rights], str]
) -> None:
    role = role_on_primary("read")
    hidden = read_check(role, "configuration-files")
    assert (hidden["status"], hidden["skipped_because"]) == ("skipped", "privilege")
    managed = make_conninfo(role, host="mine.rds.amazonaws.com", hostaddr="127.0.0.1")
    assert read_check(managed, "configuration-files")["summary"] == "the service's own"
    follow_advice(primary, hidden)
    assert read_check(role, "configuration-files")["summary"] == "no errors"


def at_age(share: float) -> str:
    """An id that is `share` of 2^31 older than the present ones, as SQL writes it."""
    return f"'{round(2**32 + 1000 - share * 2**31)}'::xid"


@pytest.mark.parametrize(("share", "status"), [(0.6, "info"), (0.8, "critical")])
def test_the_wraparound_of_a_database_without_connections(
    primary: str, share: float, status: str
) -> None:
    before = read_health(primary)
    of_template = "FROM pg_database WHERE datname = 'template0'"
    frozen = answer(primary, f"SELECT datfrozenxid::text {of_template}")
    change = "UPDATE pg_database SET datfrozenxid = {} WHERE datname = 'template0'"
    execute(primary, change.format(at_age(share)))
    try:
        reading = read_health(primary)
        assert reading.changed_since(before) == {"wraparound"}
        check = reading["wraparound"]
        assert check["status"] == status
        assert check["findings"][0]["object"] == "template0"
        assert check["advice"] == [
            'ALTER DATABASE "template0" ALLOW_CONNECTIONS true;',
            "connect to database template0 and run VACUUM (FREEZE) in it",
            'ALTER DATABASE "template0" ALLOW_CONNECTIONS false;',
        ]
        follow_advice(primary, check)
    finally:
        execute(primary, change.format(f"'{frozen}'::xid"))
    assert answer(primary, f"SELECT datallowconn {of_template}") is False
    assert read_health(primary).changed_since(before) == set()


def test_the_wraparound_of_multixacts_and_of_a_database_that_is_being_dropped(
    primary: str,
) -> None:
    execute(primary, "CREATE DATABASE old")
    change = "UPDATE pg_database SET {} WHERE datname = 'old'"
    try:
        execute(primary, change.format(f"datminmxid = {at_age(0.5)}"))
        check = read_check(primary, "wraparound")
        assert check["status"] == "warning"
        assert check["reason"].startswith("the oldest ids of database old are 1,07")
        assert " multixacts old, 50.0 % of the maximum" in check["reason"]
        # As an interrupted DROP DATABASE leaves it.
        execute(primary, change.format("datconnlimit = -2"))
        assert read_check(primary, "wraparound")["status"] == "ok"
    finally:
        execute(primary, "DROP DATABASE old")
