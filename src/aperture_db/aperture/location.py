"""Aperture's schema: the first one of the original search_path that has its tables.

Aperture names its tables without a schema, so the path of its role decides where they are. The
tool finds the place once per connection and names it in every query of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from aperture_db.aperture.tables import CORE_TABLES, MIGRATIONS_TABLE, is_aperture
from aperture_db.postgres.session import Connection
from aperture_db.sql import load


@dataclass(frozen=True)
class Location:
    """The schemas that hold tables of Aperture."""

    schema: str
    """The one that the tool works with: Aperture's, or where its tables would be created."""
    is_found: bool
    """Aperture's tables are there."""
    others: tuple[str, ...]
    """Further schemas with tables of Aperture, on the search_path or not."""


def locate(conn: Connection) -> Location:
    """Find Aperture's schema, and make `conn` name it. Needs no privilege.

    Without tables on the path it is the first schema of the path, as for CREATE TABLE; `public`
    where the path has none that the role may enter.
    """
    path = list(conn.original_path.schemas)
    rows = conn.execute(
        load("aperture/landmarks"), {"names": [MIGRATIONS_TABLE, *CORE_TABLES]}
    ).fetchall()
    holders = [schema for schema, names in rows if is_aperture(names)]
    # A schema that the role may not enter drops out of its path, and still is where things are.
    reachable = path if "public" in path else [*path, "public"]
    on_path = [schema for schema in reachable if schema in holders]
    schema = next(iter([*on_path, *path]), "public")
    conn.schema = schema
    return Location(schema, bool(on_path), tuple(each for each in holders if each != schema))
