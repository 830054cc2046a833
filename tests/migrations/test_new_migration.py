"""A new migration that adds a table takes its file and one entry in aperture/tables.py.

CONTRIBUTING.md, "Add a migration", says so; here it is done with a copy of the directory.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from aperture_db.aperture import ApertureTable, Group, LostData, Maker
from aperture_db.aperture.tables import TABLES
from tests.aperture import test_tables
from tests.conftest import MIGRATION_NAMES, MIGRATIONS
from tests.migrations import record as recording
from tests.migrations.structure import FROZEN_FILE, STEPS_FILE
from tests.program import run_inside
from tests.purge.purging import losses_of, plan_of

NAME = "0115_user_notes.sql"
SQL = """\
CREATE TABLE user_notes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    note text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
"""
ENTRY = ApertureTable(
    "user_notes", Group.USER_DATA, (Maker.USERS,),
    (LostData("notes", "made in Aperture and kept nowhere else"),), age_column="created_at",
)  # fmt: skip


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """A copy of the directory with one file more."""
    copy = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, copy)
    (copy / NAME).write_text(SQL, encoding="utf-8")
    return copy


@pytest.fixture
def records(tmp_path: Path) -> tuple[Path, Path]:
    """Copies of the recorded structures and of the hashes."""
    return (
        Path(shutil.copy(STEPS_FILE, tmp_path)),
        Path(shutil.copy(FROZEN_FILE, tmp_path)),
    )


def test_with_its_entry_every_command_knows_the_table(
    sample_database: Callable[[], str], migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TABLES, ENTRY.name, ENTRY)
    monkeypatch.setenv("APERTURE_MIGRATIONS_DIR", str(migrations))
    database = sample_database()
    assert run_inside("migrate", database=database).code == 0
    with psycopg.connect(database) as conn:
        conn.execute("INSERT INTO user_notes (user_id, note) SELECT id, 'a note' FROM users")
        (count,) = conn.execute("SELECT count(*) FROM user_notes").fetchone() or (0,)
    stats = run_inside("stats", "--tables", "--json", database=database).envelope["data"]
    (shown,) = [table for table in stats["tables"] if table["name"].endswith("user_notes")]
    assert shown["count"] == {"rows": count, "exact": True, "unknown": None}
    assert (shown["group"], count > 0) == ("user data", True)
    assert losses_of(plan_of(database, "--what", "everything"))["notes"] == count


def test_a_new_file_is_recorded_by_one_command(
    new_database: Callable[[], str], migrations: Path, records: tuple[Path, Path]
) -> None:
    assert recording.unrecorded(migrations, *records) == [NAME]
    assert recording.record(new_database(), migrations, *records) == [NAME]
    assert recording.unrecorded(migrations, *records) == []
    steps, frozen = (path.read_text(encoding="utf-8") for path in records)
    assert steps.startswith(STEPS_FILE.read_text(encoding="utf-8"))
    assert frozen.startswith(FROZEN_FILE.read_text(encoding="utf-8"))
    step = json.loads(steps.splitlines()[-1])
    assert step["name"] == NAME
    assert step["add"]["tables"] == {"user_notes": ["id", "user_id", "note", "created_at"]}
    assert step["add"]["columns"]["user_notes.note"] == ["text", "not null", None]
    assert frozen.splitlines()[-1].endswith(f"  {NAME}")


def test_the_recorded_steps_are_what_the_command_records(
    new_database: Callable[[], str], records: tuple[Path, Path]
) -> None:
    """From nothing, the command writes the records that are there."""
    for path in records:
        path.write_text("", encoding="utf-8")
    assert recording.record(new_database(), MIGRATIONS, *records) == list(MIGRATION_NAMES)
    steps, frozen = records
    assert frozen.read_text() == FROZEN_FILE.read_text()
    expected = [json.loads(line) for line in STEPS_FILE.read_text(encoding="utf-8").splitlines()]
    assert [json.loads(line) for line in steps.read_text(encoding="utf-8").splitlines()] == expected


def test_without_its_entry_one_test_says_where_to_add_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_tables, "CREATED", [*test_tables.CREATED, "user_notes"])
    with pytest.raises(AssertionError, match=r"user_notes: add it to aperture/tables\.py"):
        test_tables.test_every_table_that_a_migration_creates_has_an_entry()
