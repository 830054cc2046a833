"""Rows that `clean` can delete, as checks report them."""

from __future__ import annotations

from aperture_db import clean
from aperture_db.health.check import Context, SkippedError
from aperture_db.health.report import Cause


def measure_cleanable(context: Context, kind: clean.Kind) -> clean.KindReport:
    """The rows that `clean` would delete of a kind. Raises SkippedError without the privileges."""
    report = clean.collect(context.conn, [kind], lock_timeout=None).kinds[0]
    if report.grant:
        advice = (report.grant,)
        raise SkippedError(
            Cause.PRIVILEGE, f"{report.unknown}; the tables' owner can let it", advice
        )
    return report
