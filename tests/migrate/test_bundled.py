"""The bundled files on empty databases, on databases at any version, and beside other runners."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from aperture_db.migrations.directory import read_directory
from tests.cli import Outcome, finish, run_cli, start_cli
from tests.conftest import MIGRATIONS, apply_migrations
from tests.migrate.conftest import CREATE_THINGS, Directory, recorded
from tests.migrations.conftest import RECORD_TABLE
from tests.migrations.structure import final_structure, read_structure
from tests.servers.roles import Rights
from tests.waiting import wait_until, waits_for_lock

NAMES = [file.name for file in sorted(MIGRATIONS.glob("*.sql"))]


def assert_complete(conninfo: str) -> None:
    """Every file is recorded once, and the structure is Aperture 0.7.8's."""
    assert sorted(recorded(conninfo)) == NAMES
    expected = final_structure()
    with psycopg.connect(conninfo) as conn:
        assert read_structure(conn) == expected


def test_an_empty_database_gets_all_files(new_database: Callable[[], str]) -> None:
    conninfo = new_database()
    outcome = run_cli("migrate", conninfo=conninfo)
    assert outcome.code == 0
    assert outcome.out.startswith(f"Applied {len(NAMES)} migrations in ")
    assert outcome.out.endswith("Database is up to date.\n")
    lines = [line for line in outcome.err.splitlines() if line.startswith("applied")]
    assert [line.split()[1] for line in lines] == NAMES
    assert_complete(conninfo)


def test_nothing_pending_is_one_line(aperture_database: Callable[[], str]) -> None:
    conninfo = aperture_database()
    assert run_cli("migrate", conninfo=conninfo) == Outcome(0, "Database is up to date.\n", "")
    assert run_cli("migrate", "-q", conninfo=conninfo) == Outcome(0, "", "")


@pytest.mark.parametrize("number", ["0001", "0023", "0059", "0077", "0078", "0090", "0113"])
def test_a_database_of_another_runner_is_taken_over(
    database_at: Callable[[str], str], number: str
) -> None:
    conninfo = database_at(number)
    before = recorded(conninfo)
    assert run_cli("migrate", conninfo=conninfo).code == 0
    assert recorded(conninfo)[: len(before)] == before
    assert_complete(conninfo)


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
def test_eight_runners_at_once_apply_each_file_once(
    new_database: Callable[[], str], pgbouncer_conninfo: Callable[[str], str], pooled: bool
) -> None:
    conninfo = new_database()
    address = pgbouncer_conninfo(conninfo) if pooled else conninfo
    runners = [start_cli("migrate", "--json", conninfo=address) for _ in range(8)]
    outcomes = [finish(runner) for runner in runners]
    assert [outcome.code for outcome in outcomes] == [0] * 8, outcomes
    applied = [
        migration["name"]
        for outcome in outcomes
        for migration in outcome.envelope["data"]["applied"]
    ]
    assert sorted(applied) == NAMES
    assert_complete(conninfo)


def test_beside_a_runner_like_apertures_own(new_database: Callable[[], str]) -> None:
    """Aperture's runner takes no lock of ours: the file, then the record, one transaction each.
    It may lose a race and would be started again; no file is applied twice and none is left."""
    conninfo = new_database()
    runner = start_cli("migrate", conninfo=conninfo)
    for _ in range(100):
        try:
            _run_like_aperture(conninfo)
        except psycopg.Error:
            continue
        break
    assert finish(runner).code == 0
    assert_complete(conninfo)


def _run_like_aperture(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(
            "CREATE TABLE IF NOT EXISTS aperture_migrations (id serial PRIMARY KEY, "
            "name text UNIQUE NOT NULL, applied_at timestamptz DEFAULT now())"
        )
        names = "SELECT name FROM aperture_migrations"
        done = {row[0] for row in conn.execute(names)}
        for file in sorted(MIGRATIONS.glob("*.sql")):
            if file.name not in done:
                with conn.transaction():
                    conn.execute(file.read_bytes())
                    conn.execute("INSERT INTO aperture_migrations (name) VALUES (%s)", [file.name])


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_what_another_runner_commits_meanwhile_is_seen_at_any_default_isolation(
    new_database: Callable[[], str], directory: Directory, isolation: str
) -> None:
    conninfo = new_database()
    path = str(directory(**{"0001_a": CREATE_THINGS}))
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(RECORD_TABLE)
        conn.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_isolation = {}").format(
                sql.Identifier(conn.info.dbname), isolation
            )
        )
    with psycopg.connect(conninfo) as other:
        other.execute(CREATE_THINGS)
        other.execute("INSERT INTO aperture_migrations (name) VALUES ('0001_a.sql')")
        runner = start_cli("migrate", "--dir", path, conninfo=conninfo)
        wait_until(lambda: waits_for_lock(conninfo), "the runner waits for the records")
    outcome = finish(runner)
    assert outcome.code == 0, outcome.err
    assert "skipped  0001_a.sql  another runner applied it" in outcome.err
    assert recorded(conninfo) == ["0001_a.sql"]


def wait_for_questions(conninfo: str) -> None:
    """Wait until the tool's session has asked something three times."""
    asked_at: set[object] = set()

    def has_asked() -> bool:
        with psycopg.connect(conninfo) as conn:
            asked = conn.execute(
                "SELECT query_start FROM pg_stat_activity WHERE datname = current_database() "
                "AND state = 'idle' AND application_name ~ 'aperture-db'"
            )
            asked_at.update(asked)
        return len(asked_at) >= 3

    wait_until(has_asked, "the runner looks whether the other one goes on")


def test_another_runner_at_work_is_given_precedence(
    new_database: Callable[[], str], directory: Directory
) -> None:
    conninfo = new_database()
    files = {f"000{n}_x": f"CREATE TABLE things_{n} (id integer);" for n in range(1, 6)}
    path = str(directory(**files))
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(RECORD_TABLE)
    with psycopg.connect(conninfo) as other:
        for name, text in [*files.items()][:4]:
            other.execute(text.encode())
            other.execute("INSERT INTO aperture_migrations (name) VALUES (%s)", [f"{name}.sql"])
            if name.startswith("0001"):
                runner = start_cli("migrate", "--dir", path, conninfo=conninfo)
                wait_until(lambda: waits_for_lock(conninfo), "the runner waits for the records")
            other.commit()
            wait_for_questions(conninfo)
    outcome = finish(runner)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("another runner applied it") == 4
    assert "applied  0005_x.sql" in outcome.err
    assert recorded(conninfo) == [f"{name}.sql" for name in files]


def test_an_owner_without_superuser_rights_migrates_where_vector_is_installed(
    new_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    conninfo = new_database()
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION vector")
    owner = limited_role(conninfo, "owner")
    outcome = run_cli("migrate", conninfo=owner)
    assert outcome.code == 0, outcome.err
    assert_complete(conninfo)


def test_the_script_of_the_checkout_runs_the_command(new_database: Callable[[], str]) -> None:
    import subprocess

    from tests.cli import environment

    script = Path(__file__).parents[2] / "scripts" / "migrate.py"
    conninfo = new_database()
    for arguments, end in (
        (["--status"], f"0 applied, {len(NAMES)} pending.\n"),
        ([], "Database is up to date.\n"),
        (["--status"], f"{len(NAMES)} applied, 0 pending. Database is up to date.\n"),
    ):
        done = subprocess.run(
            [sys.executable, script, *arguments],
            env=environment(conninfo), capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.endswith(end)


def test_the_bundled_files_pass_the_checks_for_foreign_ones(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    """The bundled set is not probed for syntax at run time; a copy of it is."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in MIGRATIONS.glob("*.sql"):
        (copy / file.name).write_bytes(file.read_bytes())
    assert not read_directory(copy).is_bundled
    conninfo = new_database()
    assert run_cli("migrate", "--dry-run", "--dir", str(copy), conninfo=conninfo).code == 0
    assert recorded(conninfo) == []


def test_the_plain_application_of_the_tests_is_complete(new_database: Callable[[], str]) -> None:
    conninfo = new_database()
    apply_migrations(conninfo)
    assert_complete(conninfo)
