"""Aperture's schema, found from the search_path of the role."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from aperture_db.aperture.schema import Location, locate
from aperture_db.postgres.session import open_session
from aperture_db.sql import compose


@pytest.mark.parametrize(
    ("path", "schemas", "expected"),
    [
        ("public", (), Location("public", False, ())),
        ("public", ("public",), Location("public", True, ())),
        ("media, public", ("public",), Location("public", True, ())),
        ("media, public", ("media",), Location("media", True, ())),
        ("media, public", ("media", "public"), Location("media", True, ("public",))),
        ("public", ("media",), Location("public", False, ("media",))),
        ("nowhere", (), Location("nowhere", False, ())),
        ("nowhere", ("public",), Location("nowhere", False, ("public",))),
        ('"$user", public', ("postgres",), Location("postgres", True, ())),
    ],
)
def test_location(
    new_database: Callable[[], str], path: str, schemas: tuple[str, ...], expected: Location
) -> None:
    conninfo = new_database()
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for schema in {"media", *schemas}:
            conn.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}".encode())
        for schema in schemas:
            for name in ("aperture_migrations", "movies", "users", "watch_history"):
                conn.execute(f"CREATE TABLE {schema}.{name} ()".encode())
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET search_path = {path}".encode())
    with open_session(conninfo) as session:
        assert locate(session) == expected
        assert session.schema == expected.schema


def test_queries_name_the_schema(new_database: Callable[[], str]) -> None:
    with open_session(new_database()) as session:
        session.schema = 'a"b'
        assert '\nFROM "a""b".system_settings\n' in compose("aperture/settings").as_string(session)
