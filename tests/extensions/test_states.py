"""State, exit code and advice on servers that have the extensions, lack them, or refuse them."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.extensions.report import is_older
from tests.cli import Outcome, finish, start_cli
from tests.program import run_inside
from tests.servers.roles import Rights
from tests.servers.standby import ReplicatedDatabase

LimitedRole = Callable[[str, Rights], str]


def states(outcome: Outcome) -> dict[str, str]:
    return {item["name"]: item["state"] for item in outcome.envelope["data"]["extensions"]}


def test_a_complete_database_is_in_order(aperture_database: Callable[[], str]) -> None:
    outcome = run_inside("check-extensions", database=aperture_database())
    assert outcome.code == 0
    assert outcome.err == ""
    assert "may create every extension" in outcome.out


def test_quiet_says_nothing_where_all_is_in_order(aperture_database: Callable[[], str]) -> None:
    outcome = run_inside("check-extensions", "-q", database=aperture_database())
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_an_empty_database_lacks_all_and_may_create_them(new_database: Callable[[], str]) -> None:
    outcome = run_inside("check-extensions", "--json", database=new_database())
    assert outcome.code == 5
    assert set(states(outcome).values()) == {"not_installed"}
    assert outcome.envelope["error"]["code"] == "extension_not_installed"
    assert outcome.envelope["data"]["advice"] == ["aperture-db check-extensions --create"]


@pytest.mark.parametrize(
    ("number", "lacking"),
    [("0001", {"vector", "pgcrypto", "pg_trgm"}), ("0002", {"pg_trgm"}), ("0060", set())],
)
def test_older_migrations_lack_what_later_ones_create(
    database_at: Callable[[str], str], number: str, lacking: set[str]
) -> None:
    outcome = run_inside("check-extensions", "--json", database=database_at(number))
    assert outcome.code == (5 if lacking else 0)
    assert {name for name, state in states(outcome).items() if state != "ok"} == lacking


def test_postgres_without_pgvector_names_the_package(postgres15: str) -> None:
    outcome = run_inside("check-extensions", database=postgres15)
    assert outcome.code == 5
    assert "the extensions vector, pgcrypto and pg_trgm are not usable" in outcome.err
    with psycopg.connect(postgres15) as conn:
        (version,) = conn.execute("SELECT version()").fetchone() or ("",)
    package = "postgresql-15-pgvector" if "Debian" in version else "git clone"
    assert package in outcome.err
    assert "aperture-db check-extensions --create" in outcome.err
    assert "16 or newer is advised" in outcome.out


def test_creating_without_pgvector_creates_the_others(postgres15: str) -> None:
    with psycopg.connect(postgres15, autocommit=True) as admin:
        admin.execute("CREATE DATABASE half_equipped")
    database = make_conninfo(postgres15, dbname="half_equipped")
    outcome = run_inside("check-extensions", "--create", "--probe", "--json", database=database)
    assert outcome.code == 5
    assert states(outcome) == {"vector": "unavailable", "pgcrypto": "ok", "pg_trgm": "ok"}
    assert outcome.envelope["error"]["code"] == "extension_unavailable"
    outcomes = [probe["outcome"] for probe in outcome.envelope["data"]["probes"]]
    assert outcomes == ["skipped", "skipped", "passed", "passed"]


def test_an_old_pgvector_is_too_old_before_and_after_it_is_installed(old_pgvector: str) -> None:
    before = run_inside("check-extensions", "--json", database=old_pgvector)
    assert before.code == 5
    assert states(before)["vector"] == "too_old"
    vector = before.envelope["data"]["extensions"][0]
    assert vector["available_version"] == "0.6.2"
    assert vector["statement"] is None
    assert vector["needs_files"]
    with psycopg.connect(old_pgvector, autocommit=True) as admin:
        admin.execute("CREATE DATABASE old_vectors")
    database = make_conninfo(old_pgvector, dbname="old_vectors")
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION vector")
    after = run_inside("check-extensions", database=database)
    assert after.code == 5
    assert "halfvec" in after.err
    assert "too old" in after.out


def test_a_role_without_rights_is_told_who_can_help(
    new_database: Callable[[], str], limited_role: LimitedRole
) -> None:
    role = limited_role(new_database(), "none")
    name, database = (conninfo_to_dict(role)[key] for key in ("user", "dbname"))
    outcome = run_inside("check-extensions", "--json", database=role)
    assert outcome.code == 5
    assert outcome.envelope["data"]["advice"] == [
        f'as the owner of the database run: GRANT CREATE ON DATABASE "{database}" TO "{name}";',
        f"as a superuser run in database {database}: CREATE EXTENSION IF NOT EXISTS vector;",
        "aperture-db check-extensions --create",
    ]
    assert f"role {name} may not create it" in outcome.envelope["error"]["cause"]


def test_an_owner_may_create_the_trusted_ones_only(
    new_database: Callable[[], str], limited_role: LimitedRole
) -> None:
    owner = limited_role(new_database(), "owner")
    outcome = run_inside("check-extensions", "--create", "--json", database=owner)
    assert outcome.code == 5
    assert states(outcome) == {"vector": "not_installed", "pgcrypto": "ok", "pg_trgm": "ok"}
    (refused,) = [change for change in outcome.envelope["data"]["changes"] if change["refusal"]]
    assert refused["name"] == "vector"
    assert "permission denied" in refused["refusal"]
    assert "as a superuser run in database" in outcome.envelope["error"]["next"]


def test_a_reading_role_checks_where_the_server_refuses_every_write(
    aperture_database: Callable[[], str], limited_role: LimitedRole
) -> None:
    reader = limited_role(aperture_database(), "read")
    with psycopg.connect(reader, autocommit=True) as conn:
        conn.execute("ALTER ROLE CURRENT_USER SET default_transaction_read_only = on")
    assert run_inside("check-extensions", database=reader).code == 0
    refused = run_inside("check-extensions", "--create", "--probe", "--json", database=reader)
    assert refused.code == 0
    search = refused.envelope["data"]["probes"][1]
    assert (search["outcome"], search["what"]) == ("skipped", "search by HNSW index")


def test_a_standby_answers_and_names_its_primary(
    replicated_database: Callable[[], ReplicatedDatabase],
) -> None:
    database = replicated_database()
    outcome = run_inside("check-extensions", "--json", database=database.standby)
    assert outcome.code == 5
    assert outcome.envelope["data"]["server"]["is_standby"]
    assert outcome.envelope["data"]["advice"] == [
        "on the primary server: aperture-db check-extensions --create"
    ]
    refused = run_inside("check-extensions", "--create", database=database.standby)
    assert refused.code == 1
    assert "connect to the primary server" in refused.err


def test_create_installs_and_a_second_time_does_nothing(new_database: Callable[[], str]) -> None:
    database = new_database()
    first = run_inside("check-extensions", "--create", database=database)
    assert first.code == 0
    assert "created vector" in first.out
    second = run_inside("check-extensions", "--create", "--json", database=database)
    assert second.code == 0
    assert second.envelope["data"]["changes"] == []


def test_several_at_once_all_succeed(new_database: Callable[[], str]) -> None:
    database = new_database()
    running = [start_cli("check-extensions", "--create", conninfo=database) for _ in range(4)]
    assert [finish(process).code for process in running] == [0, 0, 0, 0]


def test_create_updates_what_is_older(new_database: Callable[[], str]) -> None:
    database = new_database()
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION pgcrypto VERSION '1.3'")
        conn.execute("CREATE EXTENSION pg_trgm VERSION '1.5'")
    outcome = run_inside("check-extensions", "--create", database=database)
    assert outcome.code == 0
    with psycopg.connect(database) as conn:
        (newest,) = conn.execute(
            "SELECT default_version FROM pg_available_extensions WHERE name = 'pgcrypto'"
        ).fetchone() or ("",)
    updated = f"updated pgcrypto from 1.3 to {newest}" in outcome.out
    assert updated == (newest != "1.3"), "1.4 came with PostgreSQL 18"
    assert "updated pg_trgm from 1.5 to 1.6" in outcome.out


def test_outdated_definitions_are_a_warning(
    aperture_database: Callable[[], str], offered_pgvector: str
) -> None:
    database = aperture_database()
    # The update to 0.8.1 has nothing to create, so that one can be pretended to be missing.
    has_empty_update = is_older("0.8.1", offered_pgvector)
    old = "0.8.1" if has_empty_update else "0.7.4"
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("UPDATE pg_extension SET extversion = %s WHERE extname = 'vector'", [old])
    outcome = run_inside("check-extensions", "-q", database=database)
    assert outcome.code == 0
    assert outcome.err.startswith(f"warning: vector: the database has the definitions of {old}")
    assert "aperture-db check-extensions --create" in outcome.err
    if has_empty_update:
        assert run_inside("check-extensions", "--create", database=database).code == 0
        assert run_inside("check-extensions", "-q", database=database).err == ""


def test_an_update_that_fails_is_told(aperture_database: Callable[[], str]) -> None:
    database = aperture_database()
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("UPDATE pg_extension SET extversion = '0.6.2' WHERE extname = 'vector'")
    outcome = run_inside("check-extensions", "--create", database=database)
    assert outcome.code == 5
    assert "refused: ALTER EXTENSION vector UPDATE: " in outcome.out
    assert "the extension vector is too old" in outcome.err


def test_an_extension_in_a_schema_out_of_reach_is_a_finding(
    new_database: Callable[[], str],
) -> None:
    database = new_database()
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA apart")
        for name in ("vector", "pgcrypto", "pg_trgm"):
            conn.execute(f"CREATE EXTENSION {name} SCHEMA apart")
    outcome = run_inside("check-extensions", "--json", database=database)
    assert outcome.code == 5
    assert states(outcome)["vector"] == "unreachable"
    statement = outcome.envelope["data"]["advice"][0]
    assert 'SET search_path = "$user", public, "apart"' in statement
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(statement)
    assert run_inside("check-extensions", "--probe", database=database).code == 0


def test_through_a_pooler_everything_works(
    new_database: Callable[[], str], pgbouncer_conninfo: Callable[[str], str]
) -> None:
    database = pgbouncer_conninfo(new_database())
    assert run_inside("check-extensions", "--create", "--probe", database=database).code == 0
