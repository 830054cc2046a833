"""PostgreSQL: connecting, the catalogs, activity, privileges, hosting, the embedded server."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    # Parts of this package are needed for --help, which loads no driver.
    from aperture_db.postgres.session import SessionConnection

Connection: TypeAlias = "SessionConnection"
"""As `postgres.connection.connect` opens it."""
