"""The registry of Aperture's tables, against the migrations that make them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from aperture_db import aperture
from aperture_db.aperture import KNOWN_JOBS, TABLES, ApertureTable
from aperture_db.aperture.kinds import EMBEDDING_TABLE, Maker
from tests.migrations.structure import STEPS_FILE

STEPS = [json.loads(line) for line in STEPS_FILE.read_text(encoding="utf-8").splitlines()]
CREATED = sorted({name for step in STEPS for name in step.get("add", {}).get("tables", {})})
COLUMNS = {name for step in STEPS for name in step.get("add", {}).get("columns", {})}


def test_every_table_that_a_migration_creates_has_an_entry() -> None:
    missing = [name for name in CREATED if aperture.table_named(name) is None]
    assert not missing, f"no entry for {', '.join(missing)}: add it to aperture/tables.py"


def test_every_entry_names_a_table_that_a_migration_creates() -> None:
    assert not [name for name in TABLES if name not in CREATED]


def test_no_entry_is_written_twice() -> None:
    assert all(table.name == name for name, table in TABLES.items())
    assert not [name for name in TABLES if EMBEDDING_TABLE.fullmatch(name)]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_an_entry_names_columns_that_exist(table: ApertureTable) -> None:
    assert set(_columns(table)) <= COLUMNS


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_what_users_make_says_how_it_is_lost(table: ApertureTable) -> None:
    whole = [loss for loss in table.losses if not (loss.columns or loss.with_rows_of)]
    assert bool(whole) or not {Maker.USERS, Maker.ADMINISTRATOR}.intersection(table.makers)


def test_the_jobs_are_known_and_name_tables_that_exist() -> None:
    for job in aperture.JOBS:
        table, *columns = job.needs or ("movies",)
        assert job.name in KNOWN_JOBS
        assert table in CREATED
        assert {f"{table}.{column}" for column in columns} <= COLUMNS


def _columns(table: ApertureTable) -> Iterator[str]:
    """Every column that an entry names, as `table.column`."""
    own = [table.age_column] if table.age_column else []
    for loss in table.losses:
        own += loss.columns
        yield from loss.needs
    for reference in table.references:
        own += [reference.column, *([reference.type_column] if reference.type_column else [])]
        yield from reference.targets
    yield from (f"{table.name}.{column}" for column in own)
