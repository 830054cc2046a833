"""A damaged index makes no good backup look wrong: it is named, with what repairs it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.damaged import OVERWRITTEN, ROW_COUNT, copy_with_damage, lose_an_entry
from tests.dump_files import execute
from tests.program import run_inside

NewDatabase = Callable[[], str]


def back_up(conninfo: str, directory: Path) -> str:
    """Make a backup, which must contain all rows; returns what is said on stderr."""
    outcome = run_inside("backup", "--dir", str(directory), "--json", database=conninfo)
    assert outcome.code == 0, outcome.err
    file = outcome.envelope["data"]["backup"]["path"]
    read = run_inside("backup", "--verify", file, "--json", database=conninfo)
    counts = {table["name"]: table["row_count"] for table in read.envelope["data"]["tables"]}
    assert counts["notes"] == ROW_COUNT
    return outcome.err


def test_an_index_that_lacks_an_entry(aperture_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = aperture_database()
    lose_an_entry(conninfo)

    said = back_up(conninfo, tmp_path)

    assert "warning: the index public.notes_pkey is damaged: " in said
    assert "it has 5,000 entries for 5,001 rows. The backup contains all rows." in said
    assert said.count("damaged") == 1
    advice = re.search(r"REINDEX [^;]+;", said)
    assert advice is not None
    execute(conninfo, advice[0])
    assert "damaged" not in back_up(conninfo, tmp_path)


@pytest.mark.parametrize("kind", OVERWRITTEN)
def test_an_index_with_damaged_pages(
    kind: str, aperture_database: NewDatabase, clone_database: Callable[[str], str], tmp_path: Path
) -> None:
    conninfo = copy_with_damage(aperture_database(), clone_database, kind)

    said = back_up(conninfo, tmp_path)

    assert "notes" in said
    advice = re.search(r"REINDEX [^;]+;", said)
    assert advice is not None
    execute(conninfo, advice[0])
    assert "REINDEX" not in back_up(conninfo, tmp_path)


def test_plans_count_the_rows_of_the_table(aperture_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = aperture_database()
    made = run_inside("backup", "--dir", str(tmp_path), "--json", database=conninfo)
    assert made.code == 0, made.err
    file = made.envelope["data"]["backup"]["path"]

    def count_replaced_rows() -> int:
        plan = run_inside(
            "restore", file, "--dry-run", "--others", "drop", "--json", database=conninfo
        )
        assert plan.code == 0, plan.err
        return int(plan.envelope["data"]["replaced_row_count"])

    before = count_replaced_rows()
    lose_an_entry(conninfo)
    assert count_replaced_rows() == before + ROW_COUNT
