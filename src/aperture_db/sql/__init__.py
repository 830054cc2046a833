"""The queries: one file per room, each query opened by its name, its purpose and the privilege
that it needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, cast

from psycopg import sql
from psycopg.abc import AdaptContext

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


class AperturesSchema(sql.Composable):
    """The schema of Aperture's tables, as the connection that runs the query knows it."""

    def __init__(self, quote: type[sql.Identifier | sql.Literal]) -> None:
        super().__init__(quote)

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        """The name, quoted. Needs the connection of `postgres.session` as context."""
        connection = cast("Any", context and context.connection)
        quoted: sql.Composable = self._obj(connection.schema)
        return quoted.as_bytes(context)


SCHEMA = AperturesSchema(sql.Identifier)
SCHEMA_NAME = AperturesSchema(sql.Literal)


def compose(name: str, **parts: str | sql.Composable) -> sql.Composed:
    """A query with its {parts} filled in: text becomes a literal.

    {schema} is Aperture's schema as an identifier, {schema_name} as text. A brace that belongs to
    the SQL is doubled in the file.
    """
    schema = {"schema": SCHEMA, "schema_name": SCHEMA_NAME}
    return sql.SQL(load(name)).format(**schema | parts)


def load(name: str) -> str:
    """The text of one query: `load("relink/put_back")` is `-- name: put_back` in relink.sql."""
    room, _, query = name.partition("/")
    return _read(room)[query]


@cache
def _read(room: str) -> Mapping[str, str]:
    """The queries of one file by their names."""
    text = resources.files(__name__).joinpath(f"{room}.sql").read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return {name: query.strip() for name, query in zip(parts[::2], parts[1::2], strict=True)}
