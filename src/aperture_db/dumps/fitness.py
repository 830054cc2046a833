"""Whether a dump, intact as it is, is one that a database of Aperture can be restored from."""

from __future__ import annotations

from aperture_db.dumps.contents import DumpContents
from aperture_db.dumps.failures import not_usable


def require_restorable(contents: DumpContents) -> None:
    """Raise UsageError for a part of a dump, or a dump of something else.

    A dump of a database without tables is fine where it carries our seal: it is what undoes the
    first restore into an empty database.
    """
    if reason := _unfit_reason(contents):
        raise not_usable(contents.path, reason)


def _unfit_reason(contents: DumpContents) -> str | None:
    has_rows = any(entry.kind == "TABLE DATA" for entry in contents.entries)
    if not contents.tables:
        if has_rows:
            return "it holds rows without the tables for them (pg_dump --data-only)"
        return None if contents.is_sealed else "it holds no table"
    if not has_rows:
        return "it holds tables without their rows (pg_dump --schema-only)"
    if not contents.aperture_schemas:
        return "its tables are not Aperture's"
    return None
