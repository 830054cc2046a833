"""The numbers of a report that are worth keeping over time."""

from __future__ import annotations

from dataclasses import fields

from aperture_db.errors import ApertureDbError
from aperture_db.stats.history import Measurement
from aperture_db.stats.report import Count, Overview, StatsReport


def measure(report: StatsReport) -> Measurement:
    """Known counts of the overview by the names that JSON gives them, and sizes.

    Raises ApertureDbError for a database that is not Aperture's: nothing is recorded there.
    """
    if not report.database.is_aperture:
        raise ApertureDbError(
            "no sample was recorded",
            why=f"{report.database.name} is not Aperture's database",
            next_step="aperture-db migrate",
            code="not_aperture",
        )
    counts: dict[str, int] = {}
    for field in fields(Overview):
        count: Count = getattr(report.overview, field.name)
        if count.rows is not None:
            counts[field.name] = count.rows
    return Measurement(
        is_exact=report.is_exact,
        newest_migration=report.database.newest_migration,
        database_bytes=report.storage.database_bytes,
        table_bytes=report.storage.table_bytes,
        index_bytes=report.storage.index_bytes,
        counts=counts,
        group_bytes=report.storage.group_bytes,
    )
