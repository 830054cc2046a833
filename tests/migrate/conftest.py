"""Small migration directories to try the command on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest

Directory: TypeAlias = Callable[..., Path]

CREATE_THINGS = "CREATE TABLE things (id int PRIMARY KEY);\n"


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    """Makes a directory of files: `directory(**{"0001_a": "SELECT 1;"})`, text or bytes."""

    def make(**files: str | bytes) -> Path:
        path = tmp_path / "migrations"
        path.mkdir(exist_ok=True)
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (path / f"{name}.sql").write_bytes(data)
        return path

    return make


def recorded(conninfo: str) -> list[str]:
    """The recorded names in the order of their records; none where the table is missing."""
    with psycopg.connect(conninfo) as conn:
        if conn.execute("SELECT to_regclass('aperture_migrations')").fetchone() == (None,):
            return []
        return [row[0] for row in conn.execute("SELECT name FROM aperture_migrations ORDER BY id")]


def table_exists(conninfo: str, name: str) -> bool:
    """Whether a table of this name is there."""
    with psycopg.connect(conninfo) as conn:
        return conn.execute("SELECT to_regclass(%s)", [name]).fetchone() != (None,)
