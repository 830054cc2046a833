"""Embeddings that nobody reads, and those that are missing."""

from __future__ import annotations

from aperture_db import aperture, clean
from aperture_db.aperture import jobs
from aperture_db.format import format_bytes, format_percent, plural
from aperture_db.health.check import NothingToCheckError, Outcome, check
from aperture_db.health.cleanable import measure_cleanable
from aperture_db.health.context import Context
from aperture_db.health.report import Area, Finding, Status, Thresholds, Unit
from aperture_db.health.requirements import need_aperture, need_tables, refuse_unreadable
from aperture_db.postgres.catalog import readable_tables
from aperture_db.stats.inventory import Inventory
from aperture_db.stats.questions import ask, embedding_questions

# Less costs too little to be urgent.
LARGE_BYTES = 100 << 20


@check(
    "legacy-embeddings",
    Area.STORAGE,
    about="The space of the embeddings that migration 0078 left behind and nothing reads.",
    source="clean",
    thresholds=Thresholds(Unit.BYTES, warning=LARGE_BYTES),
)
def legacy_embeddings(context: Context) -> Outcome:
    need_aperture(context)
    report = measure_cleanable(context, clean.Kind.LEGACY_EMBEDDINGS)
    return _cleanable(context, report, "that nothing reads")


@check(
    "stale-embeddings",
    Area.STORAGE,
    about="The space of the embeddings of models that are not in use.",
    source="clean; system_settings.ai_config names the model in use",
    thresholds=Thresholds(Unit.BYTES, warning=LARGE_BYTES),
)
def stale_embeddings(context: Context) -> Outcome:
    need_aperture(context)
    report = measure_cleanable(context, clean.Kind.STALE_EMBEDDINGS)
    if report.unknown:
        raise NothingToCheckError("no model is configured")
    return _cleanable(context, report, "of models that are not in use")


def _cleanable(context: Context, report: clean.KindReport, which: str) -> Outcome:
    rows, size_bytes = report.rows or 0, report.size_bytes or 0
    if not rows:
        return Outcome("none", 0)
    marked = "" if report.is_size_exact else "about "
    size = f"{marked}{format_bytes(size_bytes)}"
    status = context.judge(size_bytes)
    finding = Finding(
        Status.INFO if status is Status.OK else status,
        f"{plural(rows, 'embedding')} {which} {'take' if rows != 1 else 'takes'} {size}",
        (f"aperture-db clean --apply {report.kind}",),
    )
    return Outcome(f"{rows:,}, {size}", size_bytes, (finding,))


@check(
    "embedding-coverage",
    Area.APERTURE,
    about="The share of films, series and episodes that have an embedding of the model in use, "
    "the lowest of the three. What has none is not recommended and not found.",
    source="stats; the jobs make embeddings every 6 hours",
    thresholds=Thresholds(Unit.PERCENT, warning=90, is_low_bad=True),
)
def embedding_coverage(context: Context) -> Outcome:
    visible = need_tables(context, "system_settings", "custom_ai_models", "library_config")
    embedding_tables = aperture.read_embedding_tables(context.conn)
    items = [visible[name] for name in MEDIA if name in visible]
    refuse_unreadable(context, [*items, *(visible[table.name] for table in embedding_tables)])
    readable = readable_tables(context.tables())
    active = aperture.read_active_model(context.conn, embedding_tables, readable)
    if active is None:
        reason = "no embedding model is configured, so nothing can be recommended"
        advice = ("choose a model in Aperture under Settings, AI",)
        has_items = any(context.number("any_row", table=table.identifier) for table in items)
        finding = Finding(Status.INFO, reason, advice)
        return Outcome("no model", None, (finding,) if has_items else ())
    inventory = Inventory(tuple(context.tables()), {})
    answers = ask(context.conn, embedding_questions(inventory, embedding_tables, active))
    findings = []
    lowest: float | None = None
    for name, (media, job) in MEDIA.items():
        expected = answers.get(f"to_embed:{media}", {}).get(None, 0)
        present = answers.get(f"embedded:{media}", {}).get(None, 0)
        if not expected:
            continue
        share = present / expected
        lowest = share if lowest is None else min(lowest, share)
        if (status := context.judge(share * 100)) is not Status.OK:
            missing = f"{expected - present:,} of {expected:,} {name}"
            reason = f"{missing} have no embedding of {active.id}"
            advice = (f"run the job {job} in Aperture under Jobs",)
            findings.append(Finding(status, reason, advice, object=name))
    if lowest is None:
        return Outcome("nothing to embed yet")
    return Outcome(format_percent(lowest), round(lowest * 100, 1), tuple(findings))


MEDIA = {
    "movies": (aperture.Media.MOVIE, jobs.GENERATE_MOVIE_EMBEDDINGS),
    "series": (aperture.Media.SERIES, jobs.GENERATE_SERIES_EMBEDDINGS),
    "episodes": (aperture.Media.EPISODE, jobs.GENERATE_SERIES_EMBEDDINGS),
}
"""Tables of what has embeddings, and the jobs that make them."""
