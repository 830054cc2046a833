"""Where the server is and how it is reached."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import date

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from aperture_db.health.advice import judge_version, next_major
from aperture_db.health.checks.connection import judge_plain
from aperture_db.health.report import Status
from aperture_db.postgres.embedded import free_port
from tests.conftest import apply_migrations
from tests.health.conftest import follow_advice, read_check, read_health, run_health
from tests.servers.standby import ReplicatedDatabase
from tests.servers.tls import TlsServer


def test_plain_tcp_is_told_where_tls_is_offered(tls_server: TlsServer) -> None:
    encrypted = read_health(make_conninfo(tls_server.conninfo, sslmode="require"))
    assert encrypted["tls"]["status"] == "ok"
    assert encrypted["tls"]["value"].startswith("TLSv1.")
    plain = read_health(make_conninfo(tls_server.conninfo, sslmode="disable"))
    assert plain.changed_since(encrypted) == {"tls"}
    assert plain["tls"]["reason"] == "the server offers TLS, but this connection does not use it"
    assert plain["tls"]["advice"] == ["add ?sslmode=require to the connection string"]


@pytest.mark.parametrize(
    ("address", "status"),
    [("127.0.0.1", "ok"), ("::1", "ok"), ("172.18.0.2", "info"), ("fd00::2%eth0", "info"),
     ("100.101.102.103", "info"),
     ("93.184.216.34", "warning"), ("2606:2800:220:1::1", "warning")],
)  # fmt: skip
def test_plain_tcp_is_judged_by_how_far_it_goes(address: str, status: str) -> None:
    outcome = judge_plain(address, is_offered=False)
    assert [finding.status for finding in outcome.findings] == (
        [] if status == "ok" else [Status(status)]
    )


def test_a_local_socket_needs_no_tls(migrated: str) -> None:
    check = read_check(migrated, "tls")
    assert (check["status"], check["summary"]) == ("ok", "not needed, this machine")


def test_a_standby_is_told(replicated_database: Callable[[], ReplicatedDatabase]) -> None:
    database = replicated_database()
    apply_migrations(database.primary)
    database.wait_until_replayed()
    before = read_health(database.primary)
    reading = read_health(database.standby)
    assert reading.changed_since(before) == {"writable", "dead-rows"}
    assert reading["writable"]["status"] == "info"
    assert "a standby can only be read" in reading["writable"]["reason"]
    assert reading["writable"]["advice"] == ["connect Aperture to the primary server"]
    assert reading["dead-rows"]["skipped_because"] == "standby"
    assert read_health(database.standby, "--ignore", "autovacuum").code == 0
    assert read_health(database.standby, "--ignore", "autovacuum", "--strict").code == 3


@pytest.mark.parametrize("place", ["DATABASE", "ROLE"])
def test_a_read_only_default_is_found_where_it_was_made(migrated: str, place: str) -> None:
    before = read_health(migrated)
    with psycopg.connect(migrated, autocommit=True) as conn:
        name = conn.info.dbname if place == "DATABASE" else "careful"
        if place == "ROLE":
            conn.execute("DROP ROLE IF EXISTS careful")
            conn.execute("CREATE ROLE careful LOGIN SUPERUSER PASSWORD 'careful-password'")
        conn.execute(f'ALTER {place} "{name}" SET default_transaction_read_only = on')
    conninfo = migrated
    if place == "ROLE":
        conninfo = make_conninfo(migrated, user="careful", password="careful-password")
    reading = read_health(conninfo)
    assert reading.changed_since(before) == {"writable"}
    assert reading["writable"]["status"] == "warning"
    with psycopg.connect(migrated, autocommit=True) as conn:
        conn.execute("SET default_transaction_read_only = off")
        for step in reading["writable"]["advice"]:
            conn.execute(step.encode())
    assert read_health(conninfo).changed_since(before) == set()
    with psycopg.connect(migrated, autocommit=True) as conn:
        conn.execute("DROP ROLE IF EXISTS careful")


def test_an_older_server_is_told(postgres15: str) -> None:
    check = read_check(postgres15, "server-version")
    # Which of the two it is depends on the day; the tests below choose one.
    assert check["status"] in ("info", "warning")
    assert check["value"].startswith("15.")
    assert "PostgreSQL 15" in check["reason"]


ENDED = "PostgreSQL {}.2 gets no more security fixes: support for {} ended"
NEWER = "PostgreSQL {}.2 is newer than the versions that aperture-db was tested with"
ENDS = "support for PostgreSQL {} ends on "


@pytest.mark.parametrize(
    ("major", "today", "status", "reason"),
    [
        (13, "2026-01-01", Status.WARNING, ENDED),
        (14, "2026-01-01", Status.INFO, "PostgreSQL 14.2 works; 16 or newer is advised"),
        (14, "2026-11-12", Status.INFO, ENDS + "2026-11-12: no more security fixes after that"),
        (14, "2026-11-13", Status.WARNING, ENDED + " on 2026-11-12"),
        (15, "2026-11-13", Status.INFO, "PostgreSQL 15.2 works; 16 or newer is advised"),
        (16, "2028-05-11", Status.INFO, ENDS + "2028-11-09: no more security fixes after that"),
        (16, "2028-11-10", Status.WARNING, ENDED + " on 2028-11-09"),
        (18, "2030-11-15", Status.WARNING, ENDED + " on 2030-11-14"),
        (19, "2026-11-13", Status.INFO, NEWER),
    ],
)  # fmt: skip
def test_a_version_is_judged_by_its_support(
    major: int, today: str, status: Status, reason: str
) -> None:
    finding = judge_version(major, f"{major}.2", date.fromisoformat(today))
    assert finding is not None
    assert finding.status is status
    assert finding.reason == reason.format(major, major)


def test_a_version_with_years_of_support_is_ok() -> None:
    assert judge_version(16, "16.2", date(2026, 11, 13)) is None
    assert judge_version(18, "18.2", date(2030, 5, 15)) is None


def test_the_advice_for_an_old_server_names_one_with_years_of_support() -> None:
    advised = [next_major(date(year, 11, 20)) for year in (2026, 2027, 2028, 2029, 2031)]
    assert advised == [16, 16, 17, 18, 18]


def test_a_slow_network_is_told_by_its_threshold(migrated: str) -> None:
    check = read_check(migrated, "latency", "--crit", "latency=0ms")
    assert check["status"] == "critical"
    assert read_check(migrated, "latency", "--warn", "latency=1h", "--crit", "latency=2h")[
        "status"
    ] == "ok"  # fmt: skip


def unreachable() -> str:
    return f"postgresql://nobody:sentinel-secret@127.0.0.1:{free_port()}/nothing"


def test_an_unreachable_server_is_critical() -> None:
    outcome = run_health(unreachable())
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: can't connect to nobody@127.0.0.1:")
    assert "\nnext:  " in outcome.err


def test_an_unreachable_server_is_critical_in_json() -> None:
    outcome = run_health(unreachable(), "--format", "json")
    assert outcome.code == 2
    envelope = outcome.envelope
    assert envelope["error"]["code"] == "connection_refused"
    assert envelope["data"]["verdict"] == "critical"
    assert [check["id"] for check in envelope["data"]["checks"]] == ["reachable"]
    assert "sentinel-secret" not in outcome.out + outcome.err


def test_an_unreachable_server_is_critical_for_monitoring() -> None:
    outcome = run_health(unreachable(), "--format", "nagios")
    assert (outcome.code, outcome.err) == (2, "")
    assert outcome.out.startswith("APERTURE-DB CRITICAL - reachable: can't connect to ")
    outcome = run_health(unreachable(), "--format", "prometheus")
    assert outcome.code == 2
    assert '\naperture_db_up{server="127.0.0.1:' in outcome.out
    assert outcome.out.split("\n")[2].endswith(" 0")


def test_a_server_that_never_answers_is_critical() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        silent_server = f"postgresql://someone@127.0.0.1:{port}/nothing"
        outcome = run_health(silent_server, "--connect-timeout", "2")
    assert outcome.code == 2
    assert "no answer within" in outcome.err


def test_through_a_pooler_every_check_can_look(
    sample_database: Callable[[], str], pgbouncer_conninfo: Callable[[str], str]
) -> None:
    database = sample_database()
    direct = read_health(database)
    pooled = read_health(pgbouncer_conninfo(database))
    assert pooled.changed_since(direct) == set()
    assert not any(check["status"] == "skipped" for check in pooled.checks.values())
    follow = read_check(pgbouncer_conninfo(database), "expired-sessions")
    follow_advice(database, follow)
    assert read_check(database, "expired-sessions")["status"] == "ok"
