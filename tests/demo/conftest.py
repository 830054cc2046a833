"""Homes for demos."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.demo.homes import Home, temporary_home


@pytest.fixture
def home() -> Iterator[Home]:
    """A home without a demo. Its path has spaces and a quote in it."""
    with temporary_home("it's a home") as home:
        yield home


@pytest.fixture(scope="module")
def made_home() -> Iterator[Home]:
    """A home with a demo, running or not; tests may change what is in it."""
    with temporary_home() as home:
        home.run_json()
        yield home
