"""Which tables are Aperture's, and what kind of data each holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum


class Group(StrEnum):
    """What a table mainly holds; the words are shown to the user."""

    CONTENT = "content"
    """What the media server has: comes back with the next sync."""
    EMBEDDINGS = "embeddings"
    """Computed from content, at a price."""
    RECOMMENDATIONS = "recommendations"
    """Output of the recommendation, discovery and gap jobs."""
    TASTE = "taste"
    """Derived from what users watch; some rows and columns are set by the user."""
    WATCH_DATA = "watch data"
    """Comes back from the media server."""
    USER_DATA = "user data"
    """Made by users; exists nowhere else."""
    CONFIGURATION = "configuration"
    """Accounts, settings and keys."""
    CACHE = "cache"
    HISTORY = "history"
    """Logs of jobs, and the record of migrations."""


# Every table of every version; the embedding tables are told by their names.
_GROUPED = {
    Group.CONTENT: "movies series episodes collections",
    Group.RECOMMENDATIONS: (
        "recommendation_runs recommendation_candidates recommendation_evidence "
        "discovery_runs discovery_candidates gap_analysis_runs gap_analysis_results"
    ),
    Group.TASTE: (
        "user_taste_profiles user_preferences user_franchise_preferences user_genre_weights "
        "user_custom_interests assistant_suggestions"
    ),
    Group.WATCH_DATA: "watch_history",
    Group.USER_DATA: (
        "user_ratings user_watching_series user_settings assistant_conversations "
        "assistant_messages channels channel_shares graph_playlists media_images "
        "discovery_requests"
    ),
    Group.CONFIGURATION: (
        "users sessions api_keys library_config playlists strm_libraries system_settings "
        "recommendation_config top_picks_config backup_config setup_progress "
        "parental_rating_values job_config custom_ai_models"
    ),
    Group.CACHE: (
        "studios_networks discovery_pool similarity_validation_cache person_tmdb_profile_cache "
        "tmdb_collection_cache tmdb_poster_cache justwatch_chart_cache"
    ),
    Group.HISTORY: "aperture_migrations job_runs enrichment_runs api_errors",
}
TABLE_GROUPS: Mapping[str, Group] = {
    name: group for group, names in _GROUPED.items() for name in names.split()
}
# Every function of every version, by its bare name.
FUNCTIONS = frozenset(
    {
        "update_updated_at_column",
        "movies_search_vector",
        "update_movies_search_vector",
        "series_search_vector",
        "update_series_search_vector",
    }
)
EMBEDDING_TABLE = re.compile(
    r"(?P<media>series_|episode_)?embeddings(?:_(?P<dimension>\d+)|(?P<legacy>_legacy))?"
)


def group_of(table_name: str) -> Group | None:
    """The group of a table by its bare name; None when no version of Aperture has it."""
    if EMBEDDING_TABLE.fullmatch(table_name):
        return Group.EMBEDDINGS
    return TABLE_GROUPS.get(table_name)


def is_aperture(visible_names: Iterable[str]) -> bool:
    """Whether these tables, found through the search_path, are a database of Aperture.

    The record of migrations is there from 0001 on; a database without it, but with the tables,
    is one of a previous installation.
    """
    names = set(visible_names)
    return "aperture_migrations" in names or {"movies", "users", "watch_history"} <= names
