"""The words of the registry: kinds of titles, groups and makers of data, a table's entry, the jobs.

Jobs have their names in `job_config.job_name` and `job_runs.job_name`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Media(StrEnum):
    """A kind of title; also the value of the columns `media_type`."""

    MOVIE = "movie"
    SERIES = "series"
    EPISODE = "episode"


MEDIA_TABLES = {Media.MOVIE: "movies", Media.SERIES: "series", Media.EPISODE: "episodes"}
EMBEDDING_TABLE = re.compile(
    r"(?P<media>series_|episode_)?embeddings(?:_(?P<dimension>\d+)|(?P<legacy>_legacy))?"
)
"""The names of the tables of embeddings."""
COLLECTION_TYPES = {Media.MOVIE: "movies", Media.SERIES: "tvshows"}
"""As `library_config.collection_type` names what a library holds."""


class Group(StrEnum):
    """The kind of data that a table mainly holds; the words are shown to the user."""

    CONTENT = "content"
    """Titles of the media server: the next sync brings them back."""
    EMBEDDINGS = "embeddings"
    """Computed from content, at a price."""
    RECOMMENDATIONS = "recommendations"
    """Output of the recommendation, discovery and gap jobs."""
    TASTE = "taste"
    """Derived from what users watch; some rows and columns are set by the user."""
    WATCH_DATA = "watch data"
    """Copied from the media server."""
    USER_DATA = "user data"
    """Made by users; exists nowhere else."""
    CONFIGURATION = "configuration"
    """Accounts, settings and keys."""
    CACHE = "cache"
    HISTORY = "history"
    """Logs of jobs, and the record of migrations."""


class Maker(StrEnum):
    """Whoever makes the rows of a table."""

    MEDIA_SERVER = "media server"
    """Copied from it by a sync."""
    COMPUTED = "computed"
    """By a job of Aperture."""
    USERS = "users"
    ADMINISTRATOR = "administrator"
    CACHE = "cache"
    """Fetched from another service, and fetched again when needed."""
    LOG = "log"
    MIGRATIONS = "migrations"


@dataclass(frozen=True)
class LostData:
    """Data that no job brings back once its rows are deleted or its columns are reset."""

    noun: str
    """In the plural, to stand behind a number."""
    why: str
    where: str | None = None
    """A condition on the rows that hold such data, as SQL; None: all rows.

    Other tables stand in braces, as in `{users}`, for their names with their schema.
    """
    needs: tuple[str, ...] = ()
    """`table.column` of other tables that `where` reads."""
    columns: tuple[str, ...] = ()
    """Lost when one of these columns is reset in a row that is kept."""
    with_rows_of: tuple[str, ...] = ()
    """Lost, although its row is kept, when rows of these tables are deleted.

    Without `columns` and `with_rows_of` the data is lost when its row is deleted.
    """


@dataclass(frozen=True)
class LooseReference:
    """A column that refers to rows of other tables without a foreign key.

    In columns of text and JSON the ids are somewhere inside the value.
    """

    column: str
    targets: tuple[str, ...]
    """`table.column` that it can refer to."""
    type_column: str | None = None
    """The column that says which of the targets: movie or series."""
    is_array: bool = False


@dataclass(frozen=True)
class ApertureTable:
    """Everything about a table of Aperture that its catalog does not tell."""

    name: str
    group: Group
    makers: tuple[Maker, ...]
    losses: tuple[LostData, ...] = ()
    """Data that cannot be recovered when the table's rows are deleted or reset."""
    references: tuple[LooseReference, ...] = ()
    age_column: str | None = None
    """When a row was made, or last refreshed."""
    is_refetched: bool = False
    """A cache whose old rows can be deleted: those still needed are fetched again."""
    counted_as: str | None = None
    """The field of the overview of stats that has the number of its rows."""


SYNC_USERS = "sync-users"
SYNC_MOVIES = "sync-movies"
SYNC_SERIES = "sync-series"
SYNC_WATCHING = "sync-watching-favorites"
SYNC_TRAKT_RATINGS = "sync-trakt-ratings"
ENRICH_METADATA = "enrich-metadata"
GENERATE_MOVIE_EMBEDDINGS = "generate-movie-embeddings"
GENERATE_SERIES_EMBEDDINGS = "generate-series-embeddings"
GENERATE_MOVIE_RECOMMENDATIONS = "generate-movie-recommendations"
GENERATE_SERIES_RECOMMENDATIONS = "generate-series-recommendations"
GENERATE_DISCOVERIES = "generate-discovery-suggestions"
FILMS, SERIES = Media.MOVIE, Media.SERIES


@dataclass(frozen=True)
class ApertureJob:
    """A job that builds data, at its place in the order in which jobs build on each other."""

    name: str
    media: Media | None = None
    """The titles that it handles; None: both films and series."""
    is_optional: bool = False
    """Not every installation uses it."""
    needs: tuple[str, ...] = ()
    """A table, and columns of it, without which a version of Aperture has no such job."""
    note: str = ""
    uses: frozenset[str] = frozenset()
    """The data that its results depend on: "watch history", "ratings"."""


WATCH_HISTORY, RATINGS = "watch history", "ratings"
_FROM_HISTORY = frozenset({WATCH_HISTORY})
_FROM_BOTH = frozenset({WATCH_HISTORY, RATINGS})

JOBS = (
    ApertureJob(SYNC_USERS, note="then enable the users"),
    ApertureJob(SYNC_MOVIES, FILMS),
    ApertureJob(SYNC_SERIES, SERIES, needs=("series",)),
    ApertureJob("sync-movie-watch-history", FILMS, uses=_FROM_HISTORY),
    ApertureJob(
        "sync-series-watch-history", SERIES, needs=("watch_history", "episode_id"),
        uses=_FROM_HISTORY,
    ),
    ApertureJob(SYNC_WATCHING, SERIES, needs=("user_watching_series",)),
    ApertureJob(
        ENRICH_METADATA, None, True, ("movies", "enriched_at"), "before embedding: they use it"
    ),
    ApertureJob("enrich-mdblist", None, True, ("movies", "mdblist_enriched_at")),
    ApertureJob(GENERATE_MOVIE_EMBEDDINGS, FILMS),
    ApertureJob(GENERATE_SERIES_EMBEDDINGS, SERIES, needs=("series",)),
    ApertureJob(
        SYNC_TRAKT_RATINGS, None, True, ("users", "trakt_synced_at"), "for users with Trakt",
        frozenset({RATINGS}),
    ),
    ApertureJob(GENERATE_MOVIE_RECOMMENDATIONS, FILMS, uses=_FROM_BOTH),
    ApertureJob(GENERATE_SERIES_RECOMMENDATIONS, SERIES, needs=("series",), uses=_FROM_BOTH),
    ApertureJob("sync-movie-libraries", FILMS, uses=_FROM_BOTH),
    ApertureJob("sync-series-libraries", SERIES, needs=("series",), uses=_FROM_BOTH),
    ApertureJob("refresh-top-picks", needs=("top_picks_config",), uses=_FROM_HISTORY),
    ApertureJob(GENERATE_DISCOVERIES, None, True, ("discovery_runs",), uses=_FROM_HISTORY),
    ApertureJob("refresh-library-gaps", FILMS, True, ("gap_analysis_runs",)),
    ApertureJob("enrich-studio-logos", FILMS, True, ("studios_networks",)),
    ApertureJob(
        "refresh-assistant-suggestions", None, True, ("assistant_suggestions",),
        uses=_FROM_HISTORY,
    ),
)  # fmt: skip
"""In the order of a whole rebuild."""

KNOWN_JOBS = frozenset(
    {
        *(job.name for job in JOBS),
        "auto-request-top-picks",
        "backup-database",
        "full-reset-movie-recommendations",
        "full-reset-series-recommendations",
        "refresh-ai-pricing",
        "restore-database",
    }
)
"""Those of 0.7.8; `restore-database` occurs in job_runs only."""

DEAD_JOBS = frozenset(
    {
        "sync-watch-history",
        "generate-embeddings",
        "generate-recommendations",
        "rebuild-recommendations",
    }
)
"""Rows that early migrations put into job_config, and whose names the code no longer knows."""

DEAD_JOBS_MARK = ("job_config", "schedule_interval_minutes")
"""The table and column, of 0109, with which a version knows none of the dead jobs."""

RUN_TABLES = {
    "enrichment_runs": "interrupted",
    "recommendation_runs": "failed",
    "discovery_runs": "failed",
    "gap_analysis_runs": "failed",
}
"""Tables with rows of runs that may still be at work, and the status of one that was cut off;
`job_runs` has only finished ones."""


@dataclass(frozen=True)
class SyncMark:
    """A column of `users` with the time up to which data has been fetched."""

    column: str
    table: str
    """The data that it vouches for."""
    media_type: str | None
    """The value of `media_type` in that table, where it only vouches for a part."""


SYNC_MARKS = (
    SyncMark("watch_history_synced_at", "watch_history", "movie"),
    SyncMark("series_watch_history_synced_at", "watch_history", "episode"),
    SyncMark("trakt_synced_at", "user_ratings", None),
)
