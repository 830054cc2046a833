"""Known issues of Aperture's own schema, at any of its versions: for its developers to fix."""

from __future__ import annotations

from dataclasses import dataclass

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
