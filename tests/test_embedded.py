import psycopg
from collections.abc import Callable


def test_x(new_database: Callable[[], str]) -> None:
    with psycopg.connect(new_database()) as conn:
        conn.execute("create extension vector")
        row = conn.execute("select '[1]'::halfvec::text").fetchone()
        assert row == ("[1]",)
