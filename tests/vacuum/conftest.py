"""Databases of Aperture with dead rows."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.vacuum.filling import delete_quarter, fill_embeddings, fill_movies


@pytest.fixture
def used_database(aperture_database: Callable[[], str]) -> str:
    """Aperture's tables, with 1,000 films of which a quarter was deleted."""
    conninfo = aperture_database()
    with psycopg.connect(conninfo, autocommit=True) as conn:
        fill_movies(conn, 1000)
        delete_quarter(conn, 0)
    return conninfo


@pytest.fixture
def embedded_database(aperture_database: Callable[[], str]) -> str:
    """400 films with embeddings of 256 dimensions, of which a quarter was deleted."""
    conninfo = aperture_database()
    with psycopg.connect(conninfo, autocommit=True) as conn:
        fill_movies(conn, 400)
        fill_embeddings(conn)
        delete_quarter(conn, 0)
    return conninfo
