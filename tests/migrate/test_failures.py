"""A file that fails: what is said, and that nothing of it is kept."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from aperture_db.errors import ApertureDbError
from aperture_db.migrations.apply import apply_files
from aperture_db.migrations.directory import MigrationFile
from aperture_db.migrations.transaction import LockLimits
from aperture_db.postgres.session import open_session
from aperture_db.postgres.settings import resolve_target
from tests.cli import run_cli
from tests.migrate.conftest import CREATE_THINGS, Directory, recorded, table_exists


def test_the_error_names_file_line_column_and_what_was_kept(
    new_database: Callable[[], str], directory: Directory
) -> None:
    content = "CREATE TABLE half (id int);\n-- ünïcode 🎬\nSELECT 'ä',\r\n  nope FROM things;\n"
    path = directory(**{"0001_good": CREATE_THINGS, "0002_bad": content, "0003_later": "SELECT 1;"})
    conninfo = new_database()
    outcome = run_cli("migrate", "--dir", str(path), conninfo=conninfo)
    assert outcome.code == 1
    error = outcome.err.split("error: ")[1].splitlines()
    assert error[0].startswith("migration 0002_bad.sql failed at line 4, column 3 (")
    assert error[1:] == [
        'why:   column "nope" does not exist (SQLSTATE 42703)',
        "       4 |   nope FROM things;",
        "         |   ^",
        "       0002_bad.sql was rolled back; applied before it in this run: 1",
        "next:  correct the cause, then run: aperture-db migrate",
    ]
    assert recorded(conninfo) == ["0001_good.sql"]
    assert not table_exists(conninfo, "half")


@pytest.mark.parametrize("mode", [(), ("--mark-applied", "0003_c")], ids=["apply", "mark"])
def test_a_sequence_of_records_that_is_behind_is_told_with_its_remedy(
    new_database: Callable[[], str], directory: Directory, mode: tuple[str, ...]
) -> None:
    conninfo = new_database()
    path = str(directory(**{"0001_a": CREATE_THINGS, "0002_b": "SELECT 1;"}))
    assert run_cli("migrate", "--dir", path, conninfo=conninfo).code == 0
    with psycopg.connect(conninfo, autocommit=True) as conn:
        sequence = "pg_get_serial_sequence('aperture_migrations', 'id')"
        conn.execute(f"SELECT setval({sequence}, 1, false)".encode())
        directory(**{"0003_c": "SELECT 1;"})
        outcome = run_cli("migrate", "--dir", path, *mode, conninfo=conninfo)
        assert outcome.code == 1
        assert outcome.err.startswith(
            "error: 0003_c.sql could not be recorded, and was not applied"
        )
        assert "numbers that are taken" in " ".join(outcome.err.split())
        advice = " ".join(outcome.err.split()).partition("then run again: ")[2]
        conn.execute(advice.encode())
    assert run_cli("migrate", "--dir", path, *mode, conninfo=conninfo).code == 0
    assert recorded(conninfo) == ["0001_a.sql", "0002_b.sql", "0003_c.sql"]


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("INSERT INTO things VALUES (1), (1);", 3),
        ("\n\n  SELECT 1 / 0;", 5),
        ("DO $$ BEGIN RAISE EXCEPTION 'no' USING DETAIL = 'the detail', HINT = 'h'; END $$;", 3),
        ("ALTER TABLE absent ADD COLUMN a int;", 3),
    ],
)
def test_without_a_position_the_statement_is_found_by_its_number(
    new_database: Callable[[], str], directory: Directory, statement: str, line: int
) -> None:
    path = directory(**{"0001_a": f"{CREATE_THINGS}SELECT 1;\n{statement}\nSELECT 2;\n"})
    outcome = run_cli("migrate", "--dir", str(path), conninfo=new_database())
    assert outcome.code == 1
    assert f"migration 0001_a.sql failed at line {line} (statement 3)" in outcome.err
    if "RAISE" in statement:
        assert "       detail: the detail\n       hint: h\n       context: function" in outcome.err


def test_a_deferred_constraint_fails_at_the_end_of_its_file(
    new_database: Callable[[], str], directory: Directory
) -> None:
    content = (
        "CREATE TABLE things (id int PRIMARY KEY, up int REFERENCES things "
        "DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO things VALUES (1, 2);\n"
    )
    conninfo = new_database()
    path = str(directory(**{"0001_a": content}))
    outcome = run_cli("migrate", "--dir", path, conninfo=conninfo)
    assert outcome.code == 1
    assert "violates foreign key constraint" in outcome.err
    assert not table_exists(conninfo, "things")


def test_the_json_object_tells_what_was_applied_before_the_failure(
    new_database: Callable[[], str], directory: Directory
) -> None:
    path = directory(**{"0001_a": "SELECT 1;", "0002_b": "SELECT 1/0;", "0003_c": "SELECT 1;"})
    outcome = run_cli("migrate", "--json", "--dir", str(path), conninfo=new_database())
    envelope = outcome.envelope
    assert (outcome.code, envelope["ok"], envelope["error"]["code"]) == (
        1,
        False,
        "migration_failed",
    )
    assert [applied["name"] for applied in envelope["data"]["applied"]] == ["0001_a.sql"]
    assert envelope["data"]["pending"] == ["0002_b.sql", "0003_c.sql"]


@pytest.mark.parametrize(
    ("content", "is_kept", "is_recorded"),
    [
        ("CREATE TABLE half (id int); COMMIT; SELECT 1;", True, True),
        ("CREATE TABLE half (id int); COMMIT; BEGIN; SELECT 1;", True, True),
        ("ROLLBACK; CREATE TABLE half (id int);", True, False),
        ("CREATE TABLE half (id int); ROLLBACK; BEGIN; SELECT 1;", False, False),
    ],
)
def test_a_file_that_ends_its_transaction_is_called_not_atomic(
    new_database: Callable[[], str], content: str, is_kept: bool, is_recorded: bool
) -> None:
    """The checks refuse such a file; this is the second line of defence, so it goes round them."""
    conninfo = new_database()
    file = MigrationFile("0001_a.sql", content.encode())
    with (
        open_session(conninfo) as conn,
        pytest.raises(ApertureDbError) as caught,
    ):
        list(apply_files(conn, resolve_target(conninfo, None), [file], LockLimits(1, 1)))
    assert caught.value.code == "migration_not_atomic"
    assert "rolled back" not in caught.value.why
    assert f"it is {'' if is_recorded else 'not '}recorded as applied" in caught.value.why
    assert table_exists(conninfo, "half") == is_kept
    assert recorded(conninfo) == (["0001_a.sql"] if is_recorded else [])


def test_copy_that_the_checks_missed_ends_the_connection_but_not_the_tool(
    new_database: Callable[[], str],
) -> None:
    conninfo = new_database()
    file = MigrationFile("0001_a.sql", b"CREATE TABLE a (b int); COPY a FROM STDIN;")
    with (
        open_session(conninfo) as conn,
        pytest.raises(ApertureDbError) as caught,
    ):
        list(apply_files(conn, resolve_target(conninfo, None), [file], LockLimits(1, 1)))
    assert caught.value.what == "migration 0001_a.sql failed at line 1 (statement 2)"
    assert (table_exists(conninfo, "a"), recorded(conninfo)) == (False, [])


def test_a_schema_newer_than_its_records_is_explained(
    aperture_database: Callable[[], str],
) -> None:
    conninfo = aperture_database()
    with psycopg.connect(conninfo) as conn:
        conn.execute("DELETE FROM aperture_migrations WHERE name >= '0097'")
    outcome = run_cli("migrate", conninfo=conninfo)
    assert outcome.code == 1
    assert "migration 0097_api_keys.sql failed" in outcome.err
    assert "the schema is newer than its records" in outcome.err
    assert "--mark-applied NAME" in outcome.err


def test_the_schema_of_a_previous_installation_is_explained_and_can_be_marked(
    aperture_database: Callable[[], str],
) -> None:
    conninfo = aperture_database()
    with psycopg.connect(conninfo) as conn:
        conn.execute("DROP TABLE aperture_migrations")
    outcome = run_cli("migrate", conninfo=conninfo)
    assert outcome.code == 1
    assert "error: Aperture's tables are there, but no migration is recorded" in outcome.err
    assert recorded(conninfo) == []
    marked = run_cli("migrate", "--mark-applied", "0113", "--json", conninfo=conninfo)
    assert marked.code == 0
    assert len(marked.envelope["data"]["marked"]) == 113
    status = run_cli("migrate", "--check", conninfo=conninfo)
    assert status.code == 5
    assert "why:   the first one is 0114_watch_history_playback_progress.sql" in status.err
    again = run_cli("migrate", "--mark-applied", "0114", conninfo=conninfo)
    assert again.out.endswith("1 migration recorded as applied, none was run\n")
    assert run_cli("migrate", conninfo=conninfo).out == "Database is up to date.\n"
