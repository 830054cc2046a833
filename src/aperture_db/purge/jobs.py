"""The jobs of Aperture to run after a purge, in the order in which they build on each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aperture_db.aperture import ActiveModel, Media
from aperture_db.purge.report import Job
from aperture_db.purge.situation import Situation
from aperture_db.purge.what import What

# Their models run on the administrator's own machine.
FREE_PROVIDERS = ("ollama", "openai-compatible")
HISTORY = "sync-movie-watch-history sync-series-watch-history"
RECOMMENDATIONS = "generate-movie-recommendations generate-series-recommendations"
LIBRARIES = "sync-movie-libraries sync-series-libraries"
MADE_FROM_HISTORY = "generate-discovery-suggestions refresh-assistant-suggestions"
JOBS_AFTER = {
    What.WATCH_HISTORY: (
        f"{HISTORY} {RECOMMENDATIONS} {LIBRARIES} refresh-top-picks {MADE_FROM_HISTORY}"
    ),
    What.RATINGS: f"sync-trakt-ratings {RECOMMENDATIONS} {LIBRARIES}",
}


@dataclass(frozen=True)
class _Step:
    """One job in the order of a whole rebuild."""

    name: str
    media: Media | None = None
    """What it is for; None for both."""
    is_optional: bool = False
    needs: tuple[str, ...] = ()
    """A table, and columns of it, without which the version has no such job."""
    note: str = ""


SERIES, FILMS = Media.SERIES, Media.MOVIE
ORDER = (
    _Step("sync-movies", FILMS),
    _Step("sync-series", SERIES, needs=("series",)),
    _Step("sync-movie-watch-history", FILMS),
    _Step("sync-series-watch-history", SERIES, needs=("watch_history", "episode_id")),
    _Step("sync-watching-favorites", SERIES, needs=("user_watching_series",)),
    _Step(
        "enrich-metadata", None, True, ("movies", "enriched_at"), "before embedding: they use it"
    ),
    _Step("enrich-mdblist", None, True, ("movies", "mdblist_enriched_at")),
    _Step("generate-movie-embeddings", FILMS),
    _Step("generate-series-embeddings", SERIES, needs=("series",)),
    _Step(
        "sync-trakt-ratings", None, True, ("users", "trakt_synced_at"), "for users with Trakt"
    ),
    _Step("generate-movie-recommendations", FILMS),
    _Step("generate-series-recommendations", SERIES, needs=("series",)),
    _Step("sync-movie-libraries", FILMS),
    _Step("sync-series-libraries", SERIES, needs=("series",)),
    _Step("refresh-top-picks", needs=("top_picks_config",)),
    _Step("generate-discovery-suggestions", None, True, ("discovery_runs",)),
    _Step("refresh-library-gaps", FILMS, True, ("gap_analysis_runs",)),
    _Step("enrich-studio-logos", FILMS, True, ("studios_networks",)),
    _Step("refresh-assistant-suggestions", None, True, ("assistant_suggestions",)),
)  # fmt: skip


def jobs_after(situation: Situation, model: ActiveModel | None) -> Iterator[Job]:
    """Those that this version knows and this purge calls for. `model` makes the embeddings."""
    if situation.what is What.EVERYTHING:
        yield Job("sync-users", False, "then enable the users")
    names = JOBS_AFTER.get(situation.what)
    for step in ORDER:
        if names is not None and step.name not in names.split():
            continue
        if step.media is not None and step.media not in situation.media:
            continue
        if step.needs and not situation.has(*step.needs):
            continue
        is_optional = step.is_optional and situation.what is not What.RATINGS
        yield Job(step.name, is_optional, step.note or _embedding_note(step, situation, model))


def _embedding_note(step: _Step, situation: Situation, model: ActiveModel | None) -> str:
    """How many items the embedding jobs send out, because most services want money for it."""
    if "embeddings" not in step.name:
        return ""
    films, series = situation.rows_going("movies"), situation.rows_going("series")
    episodes = situation.rows_going("episodes")
    items = f"{films:,} films" if step.media is FILMS else f"{series:,} series"
    if step.media is SERIES and episodes:
        items += f", {episodes:,} episodes"
    if model is None:
        return items
    price = "" if model.provider in FREE_PROVIDERS else ", which costs money"
    return f"{items} through {model.id}{price}"
