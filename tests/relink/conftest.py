"""Libraries that are purged, synced again and relinked."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.relink.resync import Conn


@pytest.fixture
def database(sample_database: Callable[[], str]) -> str:
    return sample_database()


@pytest.fixture
def conn(database: str) -> Iterator[Conn]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection
