"""Connections for reading, and rows to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg.rows import TupleRow

from aperture_db.aperture.schema import locate
from aperture_db.postgres.connection import connect
from aperture_db.postgres.session import Connection
from aperture_db.postgres.settings import resolve_target

Open = Callable[[str], Connection]
OpenPlain = Callable[[str], psycopg.Connection[TupleRow]]


@pytest.fixture
def reader() -> Iterator[Open]:
    """Opens connections as `stats` does: autocommit, read-only transactions."""
    with ExitStack() as connections:

        def open_reader(conninfo: str) -> Connection:
            conn = connections.enter_context(
                connect(resolve_target(conninfo, None), read_only=True)
            )
            locate(conn)
            return conn

        yield open_reader


@pytest.fixture
def writer() -> Iterator[OpenPlain]:
    """Opens autocommit connections of psql's kind, to change a database with."""
    with ExitStack() as connections:
        yield lambda conninfo: connections.enter_context(psycopg.connect(conninfo, autocommit=True))
