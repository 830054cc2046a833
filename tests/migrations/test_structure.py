"""After every migration the structure equals the recorded one."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from .conftest import MIGRATIONS, apply_file
from .record import HOW_TO_RECORD, unrecorded
from .structure import FROZEN_FILE, differences, read_structure, recorded_structures


def test_the_directory_holds_exactly_the_recorded_migrations() -> None:
    new = unrecorded()
    assert not new, f"{', '.join(new)} is not recorded: {HOW_TO_RECORD}"
    recorded = [name for name, _ in recorded_structures()]
    assert sorted(path.name for path in MIGRATIONS.iterdir()) == recorded
    hashed = [line.split()[1] for line in FROZEN_FILE.read_text().splitlines()]
    assert hashed == recorded


def test_structure_after_every_migration(new_database: Callable[[], str]) -> None:
    with psycopg.connect(new_database(), autocommit=True) as conn:
        for name, expected in recorded_structures():
            apply_file(conn, name)
            wrong = differences(expected, read_structure(conn))
            assert not wrong, "\n".join([f"after {name}", *wrong])
