"""PostgreSQL: connecting, the catalogs, activity, privileges, hosting, the embedded server."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    # Parts of this package are needed for --help, which loads no driver.
    import psycopg
    from psycopg.rows import TupleRow

Connection: TypeAlias = "psycopg.Connection[TupleRow]"
"""In autocommit mode, as `postgres.connection.connect` opens it."""
