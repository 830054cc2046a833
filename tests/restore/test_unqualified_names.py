"""Functions that name objects without their schema: a dump empties the search_path, and yet their
indexes, constraints, columns and views are restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dump_files import PHRASE, execute, fetch_one, make_dump, read_rows, run_pg_dump
from tests.program import run_inside

NewDatabase = Callable[[], str]

FUNCTIONS = (
    "CREATE FUNCTION norm(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(t)'",
    # It is not inlined, so that the name is looked up when it runs.
    """
    CREATE FUNCTION norm2(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE
    AS 'BEGIN RETURN norm(t); END'
    """,
    "CREATE TABLE notes (id serial, title text)",
)
ROWS = "INSERT INTO notes (title) VALUES ('One'), ('Two')"
USES = {
    "an index": ("CREATE INDEX ON notes (norm2(title))",),
    "a constraint": ("ALTER TABLE notes ADD CHECK (norm2(title) <> 'x')",),
    "a generated column": (
        "ALTER TABLE notes ADD COLUMN n text GENERATED ALWAYS AS (norm2(title)) STORED",
    ),
    "a domain": (
        "CREATE DOMAIN normal AS text CHECK (norm2(VALUE) <> 'x')",
        "ALTER TABLE notes ADD COLUMN n normal DEFAULT 'y'",
    ),
}


@pytest.mark.parametrize("form", ["custom", "inserts"])
@pytest.mark.parametrize("use", USES)
def test_own_backups_can_be_restored(
    use: str, form: str, aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    source, restored = aperture_database(), new_database()
    execute(source, *FUNCTIONS)
    execute(source, *USES[use])
    execute(source, ROWS)
    if form == "custom":
        file = make_dump(source, tmp_path).path
    else:
        file = run_pg_dump(source, tmp_path / "dump.sql", "--inserts")

    outcome = run_inside("restore", str(file), "--confirm", PHRASE, database=restored)

    assert outcome.code == 0, outcome.err
    assert "restored with the database's search_path" in outcome.err
    assert read_rows(restored) == read_rows(source)
    assert fetch_one(restored, "SELECT count(*) FROM pg_proc WHERE proconfig IS NOT NULL") == 0
