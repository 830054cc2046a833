"""Rows that refer to something that is gone, where no foreign key watches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from aperture_db import clean
from aperture_db import sql as queries
from aperture_db.health.check import Outcome, check
from aperture_db.health.cleanable import measure_cleanable
from aperture_db.health.context import Context
from aperture_db.health.report import Area, Finding, Status, Thresholds, Unit
from aperture_db.health.requirements import need_aperture, refuse_unreadable
from aperture_db.postgres.catalog import Table


@dataclass(frozen=True)
class OrphanKind:
    """One kind of reference without a foreign key."""

    name: str
    """As `--ignore orphaned-rows:name` has it."""
    query: str
    """In sql/health.sql, after `orphans_`."""
    columns: Mapping[str, tuple[str, ...]]
    """What it reads: columns by table."""
    reason: str
    """Comes before the count."""
    advice: tuple[str, ...] = ()


DROP_DEAD_EXAMPLES = (
    "UPDATE channels SET example_movie_ids = ARRAY(SELECT e.id FROM "
    "unnest(example_movie_ids) WITH ORDINALITY AS e (id, position) "
    "WHERE EXISTS (SELECT FROM movies WHERE movies.id = e.id) ORDER BY e.position) "
    "WHERE EXISTS (SELECT FROM unnest(example_movie_ids) AS e (id) "
    "WHERE NOT EXISTS (SELECT FROM movies WHERE movies.id = e.id));"
)
DROP_DEAD_SOURCES = (
    "UPDATE graph_playlists SET source_item_id = NULL WHERE source_item_id IS NOT NULL "
    "AND source_item_id NOT IN (SELECT id::text FROM movies) "
    "AND source_item_id NOT IN (SELECT id::text FROM series);"
)
ENRICH = "run the job enrich-metadata in Aperture under Jobs"
KINDS = (
    OrphanKind(
        "channel-examples",
        "channel_examples",
        {"channels": ("example_movie_ids",), "movies": ("id",)},
        "example films of channels that are gone (Aperture skips them)",
        (DROP_DEAD_EXAMPLES,),
    ),
    OrphanKind(
        "graph-playlists",
        "graph_sources",
        {"graph_playlists": ("source_item_id",), "movies": ("id",), "series": ("id",)},
        "playlists made from a title that is gone",
        (DROP_DEAD_SOURCES,),
    ),
    OrphanKind(
        "movie-libraries",
        "movie_libraries",
        {"movies": ("provider_library_id",), "library_config": ("provider_library_id",)},
        "films of a library that is not configured any more",
        ("choose the libraries anew in Aperture under Settings, Libraries",),
    ),
    OrphanKind(
        "series-libraries",
        "series_libraries",
        {"series": ("provider_library_id",), "library_config": ("provider_library_id",)},
        "series of a library that is not configured any more",
        ("choose the libraries anew in Aperture under Settings, Libraries",),
    ),
    OrphanKind(
        "excluded-libraries",
        "excluded_libraries",
        {"user_preferences": ("settings",), "library_config": ("provider_library_id",)},
        "libraries that users exclude and that are not configured any more",
        ("the user chooses anew in Aperture; until then it has no effect",),
    ),
    OrphanKind(
        "collections",
        "collections",
        {"movies": ("collection_id",), "collections": ("tmdb_id",)},
        "films whose collection is missing",
        (ENRICH,),
    ),
    OrphanKind(
        "images",
        "images",
        {
            "media_images": ("entity_id", "entity_type"),
            "library_config": ("provider_library_id",),
            "strm_libraries": ("provider_library_id",),
            "playlists": ("provider_playlist_id",),
            "graph_playlists": ("media_server_playlist_id",),
            "channels": ("playlist_id",),
            "channel_shares": ("viewer_playlist_id",),
        },
        "uploaded pictures of a library or playlist that is gone",
        ("delete them in Aperture, which removes their files too",),
    ),
    OrphanKind(
        "models",
        "models",
        {"custom_ai_models": ("function_type",), "system_settings": ("key", "value")},
        "models of your own that are not in use",
        ("remove them in Aperture under Settings, AI, if they are not wanted",),
    ),
)


@dataclass
class Tally:
    """What was counted up to now."""

    total: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, context: Context, count: int, kind: OrphanKind) -> None:
        """Info below the threshold: single orphans are what everyday deletions leave."""
        if not count:
            return
        self.total += count
        status = context.judge(count)
        shown = Status.INFO if status is Status.OK else status
        reason = f"{kind.reason}: {count:,}"
        self.findings.append(Finding(shown, reason, kind.advice, object=kind.name))


VERDICTS = OrphanKind(
    "verdicts",
    "",
    {"similarity_validation_cache": ()},
    "cached verdicts on titles that are gone",
    (f"aperture-db clean --apply {clean.Kind.ORPHANS}",),
)


@check(
    "orphaned-rows",
    Area.INTEGRITY,
    about="References without a foreign key point to something that is there: "
    + ", ".join(kind.name for kind in (VERDICTS, *KINDS))
    + ". The value is their number in all, the thresholds are for each kind; fewer are info.",
    source="the loose references of Aperture's schema; clean for cached verdicts",
    thresholds=Thresholds(Unit.COUNT, warning=1_000),
)
def orphaned_rows(context: Context) -> Outcome:
    visible = need_aperture(context)
    tally = Tally()
    if "similarity_validation_cache" in visible:
        verdicts = measure_cleanable(context, clean.Kind.ORPHANS)
        tally.add(context, verdicts.rows or 0, VERDICTS)
    for kind in KINDS:
        if all(_has(visible, table, columns) for table, columns in kind.columns.items()):
            refuse_unreadable(context, [visible[table] for table in kind.columns])
            tally.add(context, _count(context, kind), kind)
    return Outcome(
        f"{tally.total:,}" if tally.total else "none", tally.total, tuple(tally.findings)
    )


def _has(visible: Mapping[str, Table], table: str, columns: tuple[str, ...]) -> bool:
    return table in visible and set(columns) <= set(visible[table].columns)


def _count(context: Context, kind: OrphanKind) -> int:
    parameters = _used_models(context) if kind.name == "models" else {}
    return context.number(f"orphans_{kind.query}", parameters)


def _used_models(context: Context) -> dict[str, object]:
    """Function, provider and model of each function that is configured."""
    rows = context.conn.execute(
        queries.load("aperture/settings"), {"keys": ["ai_config"]}
    ).fetchall()
    try:
        config = json.loads(rows[0][1]) if rows else {}
    except ValueError:
        config = {}
    used = {
        function: choice
        for function, choice in (config.items() if isinstance(config, dict) else ())
        if isinstance(choice, dict)
    }
    return {
        "functions": list(used),
        "providers": [str(choice.get("provider")) for choice in used.values()],
        "models": [str(choice.get("model")) for choice in used.values()],
    }
