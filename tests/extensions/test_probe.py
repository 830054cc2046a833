"""Real use of the extensions, which leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from tests.program import run_inside
from tests.servers.roles import Rights
from tests.servers.standby import ReplicatedDatabase

OBJECTS = "SELECT count(*) FROM pg_class"


def test_all_uses_pass_and_nothing_remains(aperture_database: Callable[[], str]) -> None:
    database = aperture_database()
    with psycopg.connect(database, autocommit=True) as conn:
        before = conn.execute(OBJECTS).fetchone()
        outcome = run_inside("check-extensions", "--probe", "--json", database=database)
        assert conn.execute(OBJECTS).fetchone() == before
    assert outcome.code == 0
    assert {probe["outcome"] for probe in outcome.envelope["data"]["probes"]} == {"passed"}


def test_a_reading_role_can_probe(
    aperture_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    reader = limited_role(aperture_database(), "read")
    assert run_inside("check-extensions", "--probe", database=reader).code == 0


def test_a_role_without_temporary_tables_skips_the_search(
    aperture_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    database = aperture_database()
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(f'REVOKE TEMPORARY ON DATABASE "{conn.info.dbname}" FROM PUBLIC')
    reader = limited_role(database, "read")
    outcome = run_inside("check-extensions", "--probe", "--json", database=reader)
    assert outcome.code == 0
    search = outcome.envelope["data"]["probes"][1]
    assert search["outcome"] == "skipped"
    assert "may not create one" in search["detail"]


def test_a_standby_probes_what_needs_no_table(
    replicated_database: Callable[[], ReplicatedDatabase],
) -> None:
    database = replicated_database()
    assert run_inside("check-extensions", "--create", database=database.primary).code == 0
    database.wait_until_replayed()
    outcome = run_inside("check-extensions", "--probe", "--json", database=database.standby)
    assert outcome.code == 0
    outcomes = [probe["outcome"] for probe in outcome.envelope["data"]["probes"]]
    assert outcomes == ["passed", "skipped", "passed", "passed"]
    assert "can only read" in outcome.envelope["data"]["probes"][1]["detail"]


def test_a_broken_function_is_a_finding(new_database: Callable[[], str]) -> None:
    database = new_database()
    assert run_inside("check-extensions", "--create", database=database).code == 0
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(
            "CREATE OR REPLACE FUNCTION similarity(text, text) RETURNS real "
            "LANGUAGE sql IMMUTABLE AS 'SELECT 2::real'"
        )
    outcome = run_inside("check-extensions", "--probe", database=database)
    assert outcome.code == 5
    assert "the extension pg_trgm is installed, and does not work" in outcome.err
    assert "2.0000, expected 0.3636" in outcome.err
