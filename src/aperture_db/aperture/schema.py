"""Aperture's schema: where it is, the rows that its migrations leave there, and its known issues.

Aperture names its tables without a schema, so the path of its role decides where they are. The
tool finds the place once per connection and names it in every query of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aperture_db.aperture.tables import CORE_TABLES, MIGRATIONS_TABLE, is_aperture
from aperture_db.postgres.session import Connection
from aperture_db.sql import load


@dataclass(frozen=True)
class Location:
    """The schemas that hold tables of Aperture."""

    schema: str
    """The one that the tool works with: Aperture's, or where its tables would be created."""
    is_found: bool
    """Aperture's tables are there."""
    others: tuple[str, ...]
    """Further schemas with tables of Aperture, on the search_path or not."""


def locate(conn: Connection) -> Location:
    """Find Aperture's schema, and make `conn` name it. Needs no privilege.

    Without tables on the path it is the first schema of the path, as for CREATE TABLE. A schema
    that the role may not enter drops out of its path, and still is where the tables are.
    """
    path = conn.original_path
    rows = conn.execute(
        load("aperture/landmarks"), {"names": [MIGRATIONS_TABLE, *CORE_TABLES]}
    ).fetchall()
    holders = [schema for schema, names in rows if is_aperture(names)]
    on_path = [schema for schema in (*path.schemas, *path.named) if schema in holders]
    schema = next(iter([*on_path, *path.schemas, *path.named]), "public")
    conn.schema = schema
    return Location(schema, bool(on_path), tuple(each for each in holders if each != schema))


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


@dataclass(frozen=True)
class KnownDrift:
    """A column that an early release of a migration did not make."""

    table: str
    column: str
    marker: str
    """Another column that the same migration makes."""
    definition: str


KNOWN_DRIFT = (
    KnownDrift(
        "user_taste_profiles",
        "min_franchise_size",
        "min_franchise_items",
        "integer NOT NULL DEFAULT 2",
    ),
)
