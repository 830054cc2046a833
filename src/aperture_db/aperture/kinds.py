"""The words of the registry: kinds of titles, groups and makers of data, a table's entry, the jobs.

Jobs have their names in `job_config.job_name` and `job_runs.job_name`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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


@dataclass(frozen=True)
class DefaultRows:
    """Rows of one table that must be there."""

    table: str
    without: str
    """The consequence when they are missing."""
    values: Mapping[str, str]
    """Literals by column; columns that a version lacks are left out."""
    is_vital: bool = False
    """Aperture cannot do its work without them."""
    is_single: bool = True
    """One row with id 1, or else any."""


# Where the value of the migrations is another than the column's default.
_TOP_PICKS = {
    "id": "1",
    "series_use_symlinks": "true",
    "movies_popularity_source": "'emby_history'",
    "series_popularity_source": "'emby_history'",
    "series_min_unique_viewers": "2",
}
PARENTAL_RATINGS = (
    ("G", 1), ("TV-Y", 1), ("TV-Y7", 2), ("TV-G", 3), ("PG", 4), ("TV-PG", 5), ("PG-13", 7),
    ("TV-14", 8), ("R", 9), ("TV-MA", 10), ("NC-17", 11), ("NR", 100), ("Unrated", 100),
)  # fmt: skip
"""The rows of parental_rating_values: name and value, all of the country US."""

DEFAULT_ROWS = (
    DefaultRows(
        "recommendation_config", "recommendations can't be made", {"id": "1"}, is_vital=True
    ),
    DefaultRows("top_picks_config", "Top Picks can't be made", _TOP_PICKS, is_vital=True),
    DefaultRows("backup_config", "backups are not recorded", {"id": "1"}),
    DefaultRows("setup_progress", "the setup wizard starts again", {"id": "1"}),
    DefaultRows(
        "parental_rating_values",
        "the parental filter lets everything through",
        {},
        is_single=False,
    ),
)

DEFAULT_BACKUP_PATH = "/backups"
"""backup_config.backup_path, as seen from inside Aperture's container."""
DEFAULT_BACKUP_RETENTION = 7
"""backup_config.retention_count."""


UNINDEXED_FOREIGN_KEYS = frozenset(
    {
        ("api_errors", "api_errors_job_id_fkey"),
        ("discovery_requests", "discovery_requests_discovery_candidate_id_fkey"),
        ("playlists", "playlists_channel_share_id_fkey"),
        ("recommendation_evidence", "recommendation_evidence_similar_movie_id_fkey"),
        ("recommendation_runs", "recommendation_runs_channel_id_fkey"),
    }
)
"""Table and name of foreign keys that no index serves."""

DUPLICATE_INDEXES = frozenset(
    {
        "idx_api_keys_key_hash",
        "idx_collections_tmdb_id",
        "idx_discovery_pool_media_tmdb",
        "idx_parental_rating_values_name",
        "idx_similarity_cache_lookup",
        "idx_user_preferences_user_id",
        "idx_user_settings_user_id",
        "idx_watch_history_user_episode_composite",
    }
)
"""Indexes that equal another one; a constraint's, or one with another name."""


DEFAULT_MODEL = "text-embedding-3-large"
# Those that Aperture 0.7.8 knows; every other model is in custom_ai_models.
KNOWN_DIMENSIONS = {
    "openai:text-embedding-3-large": 3072,
    "openai:text-embedding-3-small": 1536,
    "google:gemini-embedding-001": 3072,
    "ollama:nomic-embed-text": 768,
    "ollama:nomic-embed-text-v2-moe": 768,
    "ollama:mxbai-embed-large": 1024,
}
CUSTOM_MODEL_PROVIDERS = ("ollama", "openai-compatible", "openrouter")
FREE_PROVIDERS = ("ollama", "openai-compatible")
"""Their models run on the administrator's own machine."""
