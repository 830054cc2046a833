"""Connections for reading, and rows to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from aperture_db.postgres.connection import connect
from aperture_db.postgres.session import Connection, open_session
from aperture_db.postgres.settings import resolve_target

Open = Callable[[str], Connection]


@pytest.fixture
def reader() -> Iterator[Open]:
    """Opens connections as `stats` does: autocommit, read-only transactions."""
    with ExitStack() as connections:
        yield lambda conninfo: connections.enter_context(
            connect(resolve_target(conninfo, None), read_only=True)
        )


@pytest.fixture
def writer() -> Iterator[Open]:
    """Opens autocommit connections that may write."""
    with ExitStack() as connections:
        yield lambda conninfo: connections.enter_context(open_session(conninfo))
