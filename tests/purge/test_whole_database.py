"""Each option takes exactly what it should, and nothing else: every row of every table and the
whole structure, before and after."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from aperture_db.aperture.structure import Structure
from tests.migrations.structure import read_structure
from tests.program import run_inside
from tests.purge.contents import Contents, Row, read_contents
from tests.purge.expected import Case, expected_after
from tests.purge.purging import plan_of, purge

SCOPES = [
    Case("movies"),
    Case("series"),
    Case("content"),
    Case("watch-history"),
    Case("ratings"),
]
VARIANTS = [
    Case("content", include_locked=True),
    Case("movies", no_keep=True),
    Case("series", no_keep=True),
    Case("content", no_keep=True),
    Case("watch-history", include_locked=True),
    Case("ratings", include_locked=True),
    Case("watch-history", keep_runs=True),
]


def structure_of(database: str) -> tuple[Structure, list[Any]]:
    """Tables, indexes, triggers and so on, and what is not in there of the foreign keys."""
    with psycopg.connect(database) as conn:
        keys = conn.execute(
            "SELECT conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint'), "
            "convalidated, condeferrable, condeferred FROM pg_constraint "
            "WHERE connamespace IS DISTINCT FROM to_regnamespace('aperture_db') ORDER BY 1, 2"
        ).fetchall()
        return read_structure(conn), keys


def without_updated_at(rows: list[Row], expected: list[Row]) -> list[Row]:
    """`rows`, each without updated_at where the expected row has none."""
    loose = {row["id"] for row in expected if "id" in row and "updated_at" not in row}
    return [
        {name: value for name, value in row.items() if name != "updated_at"}
        if row.get("id") in loose
        else row
        for row in rows
    ]


def changed_rows(before: Contents, after: Contents, table: str, columns: list[str]) -> int:
    """Rows that are there before and after and differ in one of the columns."""
    were = {row["id"]: row for row in before[table]}
    return sum(any(row[c] != were[row["id"]][c] for c in columns) for row in after[table])


def name_of(case: Case) -> str:
    return " ".join(case.arguments[1:])


@pytest.mark.parametrize("case", SCOPES + VARIANTS, ids=name_of)
def test_exactly_the_scope_goes(case: Case, small_library: str) -> None:
    require_exact(case, small_library)


@pytest.mark.parametrize("case", SCOPES, ids=name_of)
def test_exactly_the_scope_goes_from_a_large_library(case: Case, large_library: str) -> None:
    require_exact(case, large_library)


def require_exact(case: Case, library: str) -> None:
    """Purge, and compare everything with what has to be left."""
    before, structure = read_contents(library), structure_of(library)

    plan = plan_of(library, *case.arguments)
    assert read_contents(library) == before, "a dry run writes nothing"
    data = purge(library, *case.arguments, "--expect-rows", str(plan["rows"]))
    after = read_contents(library)

    expected = expected_after(case, before)
    assert after.keys() == expected.keys()
    for table, rows in expected.items():
        assert without_updated_at(after[table], rows) == sorted_as(after[table], rows), table
    assert structure_of(library) == structure

    gone = {table: len(before[table]) - len(after[table]) for table in before}
    planned = {deletion["table"]: deletion["rows"] for deletion in plan["deletions"]}
    assert planned == {table: gone[table] for table in planned}
    assert plan["rows"] == sum(gone.values()) == data["outcome"]["rows"]
    for update in plan["updates"]:
        changed = changed_rows(before, after, update["table"], update["columns"])
        assert update["rows"] == changed, update
    deleted = {each["table"]: each["rows"] for each in data["outcome"]["deleted"]}
    assert deleted == planned
    assert data["outcome"]["not_shrunk"] == []


def sorted_as(rows: list[Row], expected: list[Row]) -> list[Row]:
    """The expected rows in the order of the rows found; changed values may sort elsewhere."""
    if not rows or "id" not in rows[0]:
        return expected
    positions = {row["id"]: number for number, row in enumerate(rows)}
    return sorted(expected, key=lambda row: positions.get(row["id"], len(positions)))


def test_rows_that_must_exist_are_there_after_every_option(small_library: str) -> None:
    for what in ("movies", "series", "content", "watch-history", "ratings"):
        purge(small_library, "--what", what)
    with psycopg.connect(small_library) as conn:
        for table in ("recommendation_config", "top_picks_config", "backup_config"):
            row = conn.execute(f"SELECT id FROM {table}").fetchone()
            assert row == (1,), table
        settings = conn.execute("SELECT FROM system_settings WHERE key = 'enrichment_version'")
        assert settings.rowcount == 1


def test_a_second_purge_finds_nothing(small_library: str) -> None:
    purge(small_library, "--what", "content")
    outcome = run_inside(
        "purge", "--what", "content", "--no-backup", "--confirm", "wrong", database=small_library
    )
    assert (outcome.code, outcome.out) == (
        0,
        "Nothing to purge: no rows to delete or update.\n",
    )
