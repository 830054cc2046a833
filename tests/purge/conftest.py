"""Libraries to purge."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from aperture_db.postgres.session import open_session
from aperture_db.sample import SampleSize, fill
from tests.conftest import make_template
from tests.purge.additions import add_own_tables, add_rows

# Ten times the sample library of the other tests.
LARGE = SampleSize(
    movies=1_200, series=60, episodes_per_series=20, watch_records=8_000, dimension=384,
    runs_per_user=4, movie_candidates=40, job_days=2,
)  # fmt: skip


@pytest.fixture(scope="session")
def small_template(admin_conninfo: str, sample_template: str) -> str:
    """The sample library with everything that a purge has to get right."""
    return make_template(admin_conninfo, "purge_small", _add_all, of=sample_template)


@pytest.fixture(scope="session")
def large_plain_template(admin_conninfo: str, aperture_template: str) -> str:
    """A larger library."""
    return make_template(admin_conninfo, "purge_large_plain", _fill, of=aperture_template)


@pytest.fixture(scope="session")
def large_template(admin_conninfo: str, large_plain_template: str) -> str:
    """The larger library with everything that a purge has to get right."""
    return make_template(admin_conninfo, "purge_large", _add_all, of=large_plain_template)


@pytest.fixture
def small_library(small_template: str, clone_database: Callable[[str], str]) -> str:
    return clone_database(small_template)


@pytest.fixture
def large_library(large_template: str, clone_database: Callable[[str], str]) -> str:
    return clone_database(large_template)


@pytest.fixture
def large_plain_database(
    large_plain_template: str, clone_database: Callable[[str], str]
) -> Callable[[], str]:
    """Makes databases with the larger library and nothing that is not Aperture's."""
    return lambda: clone_database(large_plain_template)


def _fill(conninfo: str) -> None:
    with open_session(conninfo) as conn:
        for _ in fill(conn, LARGE, indexes_last=True):
            pass


def _add_all(conninfo: str) -> None:
    with psycopg.connect(conninfo) as conn:
        add_rows(conn)
        add_own_tables(conn)
