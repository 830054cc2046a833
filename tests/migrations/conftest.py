"""Databases as they are right before a migration, and the application of single files.

The files are applied plainly, not by the feature under `aperture_db.migrations`: what a file does
is one question, how it is applied another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest
from psycopg.errors import Diagnostic
from psycopg.rows import TupleRow

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"

Connection: TypeAlias = psycopg.Connection[TupleRow]
DatabaseBefore: TypeAlias = Callable[[str], Connection]
ApplyStep: TypeAlias = Callable[[Connection, str], list[str]]

RECORD_TABLE = """
    CREATE TABLE IF NOT EXISTS aperture_migrations (
        id serial PRIMARY KEY,
        name text UNIQUE NOT NULL,
        applied_at timestamptz DEFAULT now()
    )
"""


def apply_file(conn: Connection, name: str, migrations: Path = MIGRATIONS) -> list[str]:
    """Apply one file in one transaction together with its record; return the NOTICEs it raised.

    `applied_at` of the record is therefore the now() that the file saw.
    """
    notices: list[str] = []

    def note(diagnostic: Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "NOTICE":
            notices.append(diagnostic.message_primary or "")

    conn.add_notice_handler(note)
    try:
        with conn.transaction():
            conn.execute((migrations / name).read_bytes())
            conn.execute("INSERT INTO aperture_migrations (name) VALUES (%s)", (name,))
    finally:
        conn.remove_notice_handler(note)
    return notices


@pytest.fixture
def apply_step() -> ApplyStep:
    """The function `apply_file`, for tests that apply the file they are about."""
    return apply_file


@pytest.fixture
def database_before(new_database: Callable[[], str]) -> Iterator[DatabaseBefore]:
    """Makes databases that have every file before the named one; connections are autocommit."""
    with ExitStack() as connections:

        def make(name: str) -> Connection:
            assert (MIGRATIONS / name).is_file(), name
            conn = connections.enter_context(psycopg.connect(new_database(), autocommit=True))
            conn.execute(RECORD_TABLE)
            for file in sorted(path.name for path in MIGRATIONS.glob("*.sql")):
                if file < name:
                    apply_file(conn, file)
            return conn

        yield make
