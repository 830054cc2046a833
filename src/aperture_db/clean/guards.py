"""What keeps a confirmed deletion from being carried out: it would not be what was shown."""

from __future__ import annotations

from collections.abc import Iterable

from aperture_db import aperture
from aperture_db.clean.doomed import Scene, find_doomed
from aperture_db.clean.kinds import Kind
from aperture_db.clean.report import CleanReport
from aperture_db.errors import ApertureDbError
from aperture_db.format import quote_identifier
from aperture_db.postgres.catalog import read_foreign_keys, read_tables
from aperture_db.postgres.connection import Connection


def refuse_changed_model(plan: CleanReport, scene: Scene) -> None:
    """What was listed is in use now, or what was in use would go. Raises ApertureDbError."""
    before, now = plan.active_model, scene.active
    if before != now:
        raise ApertureDbError(
            "the model in use was changed meanwhile, nothing was deleted",
            why=f"{before.id if before else 'none'} was in use when the rows were counted, "
            f"{now.id if now else 'none'} is now",
            next_step=f"aperture-db clean {Kind.STALE_EMBEDDINGS}",
            code="model_changed",
        )


def refuse_outside_references(conn: Connection, kinds: Iterable[Kind], scene: Scene) -> None:
    """Rows of tables that are not Aperture's would go, or change, with those that they refer to.

    Raises ApertureDbError.
    """
    tables = {table.oid: table for table in read_tables(conn)}
    keys = read_foreign_keys(conn)
    for kind in kinds:
        doomed = {each.table.oid for each in find_doomed(kind, scene)}
        for key in keys:
            table = tables.get(key.table_oid)
            if key.referenced_oid in doomed and table and not aperture.group_of(table.name):
                name = f"{quote_identifier(table.schema)}.{quote_identifier(table.name)}"
                referenced = tables[key.referenced_oid].name
                raise ApertureDbError(
                    f"{kind} can't be deleted, nothing was deleted",
                    why=f"the table {name}, which is not Aperture's, refers to {referenced}, and "
                    "its rows were not shown",
                    next_step=f"leave {kind} out, or: ALTER TABLE {name} "
                    f"DROP CONSTRAINT {quote_identifier(key.name)};",
                    code="referenced",
                )
