"""Rows that `clean` can delete, as checks report them."""

from __future__ import annotations

from aperture_db.clean.collect import collect
from aperture_db.clean.report import Kind, KindReport
from aperture_db.health.check import Context, SkippedError
from aperture_db.health.report import Cause


def measure_cleanable(context: Context, kind: Kind) -> KindReport:
    """The rows that `clean` would delete of a kind. Raises SkippedError without the privileges."""
    report = collect(context.conn, [kind], lock_timeout=None).kinds[0]
    if report.grant:
        advice = (report.grant,)
        raise SkippedError(
            Cause.PRIVILEGE, f"{report.unknown}; the tables' owner can let it", advice
        )
    return report
