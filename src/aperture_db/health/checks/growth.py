"""How fast the database grows."""

from __future__ import annotations

from psycopg import errors as pg

from aperture_db.format import format_bytes, plural, quote_identifier
from aperture_db.health.check import Outcome, SkippedError, check
from aperture_db.health.context import Context
from aperture_db.health.report import Area, Cause, Finding, Status, Thresholds, Unit
from aperture_db.stats import history

MIN_SAMPLES = 3
MIN_DAYS = 7.0
DAYS_AHEAD = 30


@check(
    "growth",
    Area.STORAGE,
    about=f"How much the database grows in {DAYS_AHEAD} days, as a share of its size, by the "
    f"samples of stats --record: {MIN_SAMPLES} or more over {MIN_DAYS:.0f} days or more.",
    source="aperture_db.samples",
    thresholds=Thresholds(Unit.PERCENT, warning=50),
)
def growth(context: Context) -> Outcome:
    samples = _read_samples(context)
    sizes = [sample for sample in samples if sample.database_bytes is not None]
    days = 0.0
    if sizes:
        days = (sizes[-1].sampled_at - sizes[0].sampled_at).total_seconds() / 86400
    if len(sizes) < MIN_SAMPLES or days < MIN_DAYS:
        reason = (
            f"{plural(len(sizes), 'sample')} over {days:.1f} days; the trend needs "
            f"{MIN_SAMPLES} over {MIN_DAYS:.0f} days"
        )
        finding = Finding(Status.INFO, reason, ("aperture-db stats --record",))
        return Outcome(f"collecting: {plural(len(sizes), 'sample')}", None, (finding,))
    first, last = sizes[0].database_bytes or 0, sizes[-1].database_bytes or 0
    per_day = (last - first) / days
    percent = round(per_day * DAYS_AHEAD / max(last, 1) * 100, 1)
    summary = f"{format_bytes(last)}, {format_bytes(round(per_day))} a day"
    status = context.judge(percent)
    if status is Status.OK:
        return Outcome(summary, percent)
    reason = (
        f"at {format_bytes(round(per_day))} a day the database grows by {percent:.0f} % in "
        f"{DAYS_AHEAD} days"
    )
    advice = ("aperture-db stats --history", "aperture-db clean")
    return Outcome(summary, percent, (Finding(status, reason, advice),))


def _read_samples(context: Context) -> list[history.Sample]:
    # Asked now: after an error the transaction answers nothing more.
    role = context.identity().role
    try:
        return history.read_samples(context.conn)
    except pg.InsufficientPrivilege as error:
        user = quote_identifier(role)
        raise SkippedError(
            Cause.PRIVILEGE,
            f"role {role} may not read aperture_db.samples; who records them can let it",
            (
                f"GRANT USAGE ON SCHEMA aperture_db TO {user};",
                f"GRANT SELECT ON aperture_db.samples TO {user};",
            ),
        ) from error
