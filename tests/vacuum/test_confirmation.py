"""The typed confirmation, at a real (pseudo) terminal."""

from __future__ import annotations

import psycopg
import pytest

from tests.terminal import run_at_terminal, words_of

QUESTION = 'Type "yes I am sure" to continue: '
FULL = ("vacuum", "--full", "--table", "movies")
FILE = "SELECT pg_relation_filenode('movies'::regclass)"


def test_the_exact_phrase_goes_on(used_database: str) -> None:
    with psycopg.connect(used_database, autocommit=True) as conn:
        before = conn.execute(FILE).fetchone()
        code, shown = run_at_terminal(*FULL, conninfo=used_database, typed="yes I am sure\n")
        assert code == 0, shown
        assert "Aperture can neither read nor write it" in words_of(shown)
        assert conn.execute(FILE).fetchone() != before


@pytest.mark.parametrize("typed", ["yes i am sure\n", " yes I am sure\n", "y\n", "\n", "\x04"])
def test_anything_else_changes_nothing_and_there_is_one_try(used_database: str, typed: str) -> None:
    with psycopg.connect(used_database, autocommit=True) as conn:
        before = conn.execute(FILE).fetchone()
        code, shown = run_at_terminal(*FULL, conninfo=used_database, typed=typed)
        assert code == 4, shown
        assert shown.count(QUESTION) == 1
        assert "nothing was changed" in shown
        assert conn.execute(FILE).fetchone() == before
