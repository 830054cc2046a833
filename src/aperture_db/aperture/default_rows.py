"""Rows that migrations make and Aperture relies on, and Aperture's own default settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
