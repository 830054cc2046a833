"""A database that another runner brought to any step is taken over and completed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import psycopg
import pytest

from aperture_db.migrations.apply import Applied, apply_files
from aperture_db.migrations.directory import read_directory
from aperture_db.migrations.status import plan
from aperture_db.migrations.transaction import LockLimits
from aperture_db.postgres.connection import connect
from aperture_db.postgres.settings import resolve_target
from tests.migrate.conftest import recorded
from tests.migrations.conftest import RECORD_TABLE, apply_file
from tests.migrations.structure import differences, final_structure, read_structure

DIRECTORY = read_directory()
LANES = 4


@pytest.mark.parametrize("lane", range(LANES))
def test_a_database_at_any_step_is_completed(
    new_database: Callable[[], str], clone_database: Callable[[str], str], lane: int
) -> None:
    """The lanes share the steps, so that they can run side by side."""
    expected = final_structure()
    growing = new_database()
    name = psycopg.conninfo.conninfo_to_dict(growing)["dbname"]
    for step, file_name in enumerate(DIRECTORY.names, start=1):
        with psycopg.connect(growing, autocommit=True) as conn:
            conn.execute(RECORD_TABLE)
            apply_file(conn, file_name)
        if step % LANES == lane:
            taken_over = clone_database(str(name))
            assert complete(taken_over) == DIRECTORY.names[step:]
            assert recorded(taken_over) == list(DIRECTORY.names)
            with psycopg.connect(taken_over) as conn:
                assert differences(expected, read_structure(conn)) == []


def complete(conninfo: str) -> tuple[str, ...]:
    """Migrate the way the command does; the names of the files that were applied."""
    target = resolve_target(conninfo, None)
    with connect(target) as conn:
        planned = plan(conn, target, DIRECTORY)
        events = deque(apply_files(conn, target, planned.files, LockLimits(30, 5)))
    return tuple(event.name for event in events if isinstance(event, Applied))
