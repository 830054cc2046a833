"""What migrate does instead of applying, and where it stops."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg
import pytest

from tests.cli import run_cli
from tests.conftest import MIGRATION_NAMES
from tests.migrate.conftest import CREATE_THINGS, Directory, recorded, table_exists
from tests.migrations.structure import read_structure
from tests.servers.roles import Rights
from tests.servers.standby import ReplicatedDatabase

FILES = {"0001_a": CREATE_THINGS, "0002_b": "SELECT 1;", "0003_c": "SELECT 2;"}


def test_status_lists_every_migration_with_its_state(
    new_database: Callable[[], str], directory: Directory
) -> None:
    path = str(directory(**FILES))
    conninfo = new_database()
    empty = run_cli("migrate", "--status", "--dir", path, conninfo=conninfo)
    assert (empty.code, empty.out.splitlines()[-1]) == (0, "0 applied, 3 pending.")
    assert not table_exists(conninfo, "aperture_migrations")
    run_cli("migrate", "--to", "0002", "--dir", path, conninfo=conninfo)
    outcome = run_cli("migrate", "--status", "--json", "--dir", path, conninfo=conninfo)
    migrations = outcome.envelope["data"]["migrations"]
    states = [(migration["name"], migration["state"]) for migration in migrations]
    assert states == [
        ("0001_a.sql", "applied"),
        ("0002_b.sql", "applied"),
        ("0003_c.sql", "pending"),
    ]
    assert migrations[0]["applied_at"].endswith("Z")
    assert migrations[2]["applied_at"] is None


def test_status_and_check_need_only_to_read(
    database_at: Callable[[str], str], limited_role: Callable[[str, Rights], str]
) -> None:
    reader = limited_role(database_at("0100"), "read")
    status = run_cli("migrate", "--status", conninfo=reader)
    assert (status.code, status.out.splitlines()[-1]) == (0, "100 applied, 14 pending.")
    assert run_cli("migrate", "--check", conninfo=reader).code == 5
    refused = run_cli("migrate", conninfo=reader)
    assert refused.code == 1
    assert "why:   it lacks CREATE on schema public" in refused.err
    assert 'GRANT CREATE ON SCHEMA "public" TO' in refused.err


def test_a_standby_has_a_status_but_no_migrations(
    replicated_database: Callable[[], ReplicatedDatabase],
) -> None:
    database = replicated_database()
    status = run_cli("migrate", "--status", conninfo=database.standby)
    assert (status.code, status.out.splitlines()[-1]) == (
        0,
        f"0 applied, {len(MIGRATION_NAMES)} pending.",
    )
    refused = run_cli("migrate", conninfo=database.standby)
    assert refused.code == 1
    assert "why:   it is a standby" in refused.err


def test_check_tells_by_its_exit_code(
    new_database: Callable[[], str], directory: Directory
) -> None:
    path = str(directory(**FILES))
    conninfo = new_database()
    pending = run_cli("migrate", "--check", "--json", "--dir", path, conninfo=conninfo)
    assert pending.code == 5
    assert pending.envelope["error"]["code"] == "migrations_pending"
    assert run_cli("migrate", "--dir", path, conninfo=conninfo).code == 0
    assert run_cli("migrate", "--check", "-q", "--dir", path, conninfo=conninfo).code == 0


def test_dry_run_lists_and_changes_nothing(
    new_database: Callable[[], str], directory: Directory
) -> None:
    path = str(directory(**FILES))
    conninfo = new_database()
    for name in ("2", "0002", "0002_b", "0002_b.sql"):
        outcome = run_cli("migrate", "--dry-run", "--to", name, "--dir", path, conninfo=conninfo)
        assert outcome.out == "0001_a.sql\n0002_b.sql\n\n2 migrations would be applied\n"
    assert recorded(conninfo) == []


def test_to_stops_after_the_named_file(
    new_database: Callable[[], str], directory: Directory
) -> None:
    path = str(directory(**FILES))
    conninfo = new_database()
    outcome = run_cli("migrate", "--to", "0002_b.sql", "--dir", path, conninfo=conninfo)
    assert outcome.out.endswith("1 migration still pending.\n")
    assert recorded(conninfo) == ["0001_a.sql", "0002_b.sql"]
    unknown = run_cli("migrate", "--to", "0002_x", "--dir", path, conninfo=conninfo)
    assert unknown.code == 2
    assert "next:  use a full name, such as 0002_b.sql" in unknown.err
    # As from a shell variable that is not set.
    empty = run_cli("migrate", "--to", "", "--dir", path, conninfo=conninfo)
    assert empty.code == 2
    assert "error: an empty name does not name one migration file" in empty.err
    assert recorded(conninfo) == ["0001_a.sql", "0002_b.sql"]


def test_rehearse_runs_everything_and_keeps_nothing(new_database: Callable[[], str]) -> None:
    conninfo = new_database()
    with psycopg.connect(conninfo) as conn:
        before = read_structure(conn)
    outcome = run_cli("migrate", "--rehearse", conninfo=conninfo)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"Rehearsed {len(MIGRATION_NAMES)} migrations in ")
    assert "warning: a rehearsal takes real locks" in outcome.err
    with psycopg.connect(conninfo) as conn:
        assert read_structure(conn) == before


def test_a_rehearsal_finds_the_failing_file(
    new_database: Callable[[], str], directory: Directory
) -> None:
    path = str(directory(**FILES, **{"0004_d": "SELECT 1/0;"}))
    conninfo = new_database()
    outcome = run_cli("migrate", "--rehearse", "--dir", path, conninfo=conninfo)
    assert outcome.code == 1
    assert "migration 0004_d.sql failed at line 1 (statement 1)" in outcome.err
    assert (recorded(conninfo), table_exists(conninfo, "things")) == ([], False)


def test_a_rehearsal_says_what_it_can_not_try(
    new_database: Callable[[], str], directory: Directory
) -> None:
    conninfo = new_database()
    concurrent = "-- aperture-db: no-transaction\nCREATE INDEX CONCURRENTLY i ON things (id);"
    path = str(directory(**{"0001_a": CREATE_THINGS, "0002_b": concurrent}))
    outcome = run_cli("migrate", "--rehearse", "--dir", path, conninfo=conninfo)
    assert outcome.out.startswith("Rehearsed 1 migration in ")
    assert "warning: not rehearsed, as it runs outside a transaction: 0002_b.sql" in outcome.err
    assert run_cli("migrate", "--dir", path, conninfo=conninfo).code == 0
    nothing = run_cli("migrate", "--rehearse", "--dir", path, conninfo=conninfo)
    assert (nothing.code, nothing.out, nothing.err) == (0, "Database is up to date.\n", "")


def test_a_schema_that_the_role_may_not_enter_is_not_taken_for_an_empty_one(
    aperture_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    conninfo = aperture_database()
    with psycopg.connect(conninfo) as conn:
        conn.execute("REVOKE ALL ON SCHEMA public FROM public")
    role = limited_role(conninfo, "none")
    name = psycopg.conninfo.conninfo_to_dict(role)["user"]
    for mode in ("--status", "--check", "--dry-run"):
        refused = run_cli("migrate", mode, conninfo=role)
        assert (refused.code, refused.out) == (1, "")
        assert refused.err.startswith("error: cannot tell which migrations are applied (")
        assert f"why:   role {name} lacks USAGE on schema public" in refused.err
    with psycopg.connect(conninfo) as conn:
        for statement in refused.err.split(" run: ")[1].split(";"):
            if statement.strip():
                conn.execute(statement)
    assert run_cli("migrate", "--check", conninfo=role).code == 0


def test_a_role_that_may_not_record_learns_it_first(
    database_at: Callable[[str], str], limited_role: Callable[[str, Rights], str]
) -> None:
    conninfo = database_at("0113")
    role = limited_role(conninfo, "read")
    name = psycopg.conninfo.conninfo_to_dict(role)["user"]
    with psycopg.connect(conninfo) as conn:
        conn.execute(f"GRANT CREATE ON SCHEMA public TO {name}")
    refused = run_cli("migrate", "--dry-run", conninfo=role)
    assert refused.code == 1
    assert f"error: role {name} may not record migrations" in refused.err
    assert "next:  connect as postgres: " in refused.err


def test_a_search_path_without_a_schema(new_database: Callable[[], str]) -> None:
    conninfo = new_database()
    with psycopg.connect(conninfo) as conn:
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET search_path = nowhere")
    refused = run_cli("migrate", conninfo=conninfo)
    assert refused.code == 1
    assert "why:   search_path is nowhere, and none of that exists" in refused.err


def test_the_schema_of_the_search_path_may_have_any_name(
    aperture_database: Callable[[], str],
) -> None:
    conninfo = aperture_database()
    with psycopg.connect(conninfo) as conn:
        conn.execute('ALTER SCHEMA public RENAME TO "Aperture\'s own"')
        conn.execute(f'ALTER DATABASE {conn.info.dbname} SET search_path = "Aperture\'s own"')
    assert run_cli("migrate", conninfo=conninfo).out == "Database is up to date.\n"
    with psycopg.connect(conninfo) as conn:
        conn.execute("TRUNCATE aperture_migrations")
    refused = run_cli("migrate", conninfo=conninfo)
    assert "error: Aperture's tables are there, but no migration is recorded" in refused.err


def test_tables_of_another_application_are_not_called_a_previous_installation(
    new_database: Callable[[], str],
) -> None:
    conninfo = new_database()
    with psycopg.connect(conninfo) as conn:
        conn.execute("CREATE TABLE users (id int)")
    refused = run_cli("migrate", conninfo=conninfo)
    assert refused.code == 1
    assert "error: this is not Aperture's database, and it has tables in the way" in refused.err
    assert "why:   schema public has users, and no migration is recorded" in refused.err
    assert not table_exists(conninfo, "aperture_migrations")


def test_modes_exclude_each_other(new_database: Callable[[], str]) -> None:
    outcome = run_cli("migrate", "--status", "--rehearse", conninfo=new_database())
    assert outcome.code == 2
    assert "error: --status and --rehearse can't be combined" in outcome.err


def test_unknown_records_and_late_files_are_tolerated_unless_strict(
    new_database: Callable[[], str], directory: Directory
) -> None:
    conninfo = new_database()
    path = str(directory(**{"0001_a": CREATE_THINGS, "0003_c": "SELECT 1;"}))
    assert run_cli("migrate", "--dir", path, conninfo=conninfo).code == 0
    with psycopg.connect(conninfo) as conn:
        conn.execute("INSERT INTO aperture_migrations (name) VALUES ('0101_continue_watching.sql')")
    directory(**{"0002_b": "SELECT 1;"})
    strict = run_cli("migrate", "--strict", "--dir", path, conninfo=conninfo)
    assert strict.code == 2
    assert recorded(conninfo)[-1] == "0101_continue_watching.sql"
    outcome = run_cli("migrate", "--dir", path, conninfo=conninfo)
    assert outcome.code == 0
    assert "warning: 1 record without a file here (0101_continue_watching.sql): a n" in outcome.err
    assert "warning: pending, but older than an applied one: 0002_b.sql" in outcome.err
    assert recorded(conninfo)[-1] == "0002_b.sql"
    assert run_cli("migrate", "--strict", "--dir", path, conninfo=conninfo).code == 2
    with psycopg.connect(conninfo) as conn:
        conn.execute(
            "INSERT INTO aperture_migrations (name) SELECT to_char(n, 'FM0000') || '_x.sql' "
            "FROM generate_series(102, 114) AS n"
        )
    outcome = run_cli("migrate", "--dir", path, conninfo=conninfo)
    assert "warning: 14 records without a file here (0101 … 0114): a newer" in outcome.err


@pytest.mark.parametrize("server", ["postgres15", "old_pgvector"])
def test_a_missing_or_old_extension_stops_before_the_first_file(
    request: pytest.FixtureRequest, server: str
) -> None:
    conninfo = request.getfixturevalue(server)
    outcome = run_cli("migrate", conninfo=conninfo)
    assert outcome.code == 5
    assert "vector" in outcome.err.splitlines()[0]
    assert re.search(r"^next:  \S", outcome.err, re.MULTILINE)
    assert not table_exists(conninfo, "aperture_migrations")


def test_a_role_that_may_not_create_the_extension_learns_it_first(
    new_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    owner = limited_role(new_database(), "owner")
    outcome = run_cli("migrate", conninfo=owner)
    assert outcome.code == 5
    assert "CREATE EXTENSION" in outcome.err
    assert not table_exists(owner, "aperture_migrations")
