"""Every table of every version of Aperture: the registry that all commands read.

A migration that adds a table needs its entry here, and nothing else by hand. The tables of
embeddings are recognized by their names (`EMBEDDING_TABLE`) and share one entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from aperture_db.aperture.kinds import (
    EMBEDDING_TABLE,
    ApertureTable,
    Group,
    LooseReference,
    LostData,
    Maker,
)

MIGRATIONS_TABLE = "aperture_migrations"
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
CORE_TABLES = frozenset({"movies", "users", "watch_history"})
"""Together they tell a database of Aperture from others, even without its record of migrations."""
CONSULTED_TABLES = frozenset(
    {MIGRATIONS_TABLE, "custom_ai_models", "job_runs", "library_config", "system_settings"}
)
"""Tables that tell what the counts of others should be: settings, libraries, histories."""

SERVER, COMPUTED, USERS, ADMIN = (
    Maker.MEDIA_SERVER,
    Maker.COMPUTED,
    Maker.USERS,
    Maker.ADMINISTRATOR,
)
ONLY_HERE = "made in Aperture and kept nowhere else"
TO_TITLES = ("movies.id", "series.id")
TO_LIBRARIES = ("library_config.provider_library_id",)
SET_BY_USER = "is_user_set"


def _default_settings(name: str, noun: str, why: str) -> ApertureTable:
    """A table of settings whose default rows a migration makes."""
    return ApertureTable(
        name, Group.CONFIGURATION, (Maker.MIGRATIONS, ADMIN), (LostData(noun, why),)
    )


def _cache(name: str, age_column: str) -> ApertureTable:
    """A cache of another service's answers."""
    return ApertureTable(
        name, Group.CACHE, (Maker.CACHE,), age_column=age_column, is_refetched=True
    )


_CONTENT = (
    ApertureTable(
        "movies", Group.CONTENT, (SERVER,),
        references=(
            LooseReference("provider_library_id", TO_LIBRARIES),
            LooseReference("collection_id", ("collections.tmdb_id",)),
        ),
        age_column="created_at", counted_as="movies",
    ),
    ApertureTable(
        "series", Group.CONTENT, (SERVER,),
        references=(LooseReference("provider_library_id", TO_LIBRARIES),),
        age_column="created_at", counted_as="series",
    ),
    ApertureTable(
        "episodes", Group.CONTENT, (SERVER,), age_column="created_at", counted_as="episodes"
    ),
    ApertureTable("collections", Group.CONTENT, (COMPUTED,)),
)  # fmt: skip
_EMBEDDINGS = ApertureTable("embeddings", Group.EMBEDDINGS, (COMPUTED,), age_column="created_at")
_RECOMMENDATIONS = tuple(
    ApertureTable(
        name, Group.RECOMMENDATIONS, (COMPUTED,), age_column="created_at", counted_as=counted_as
    )
    for name, counted_as in (
        ("recommendation_runs", "recommendation_runs"),
        ("recommendation_candidates", "recommendation_candidates"),
        ("recommendation_evidence", None),
        ("discovery_runs", None),
        ("discovery_candidates", None),
        ("gap_analysis_runs", None),
        ("gap_analysis_results", None),
    )
)
_TASTE = (
    ApertureTable(
        "user_taste_profiles", Group.TASTE, (COMPUTED, USERS),
        (
            LostData(
                "taste profile settings", "locks and refresh intervals that users set",
                where="is_locked OR user_modified_at IS NOT NULL",
            ),
            LostData(
                "locked taste profiles", "users locked them to keep them as they are",
                where="is_locked AND embedding IS NOT NULL", columns=("embedding",),
            ),
        ),
        counted_as="taste_profiles",
    ),
    ApertureTable(
        "user_preferences", Group.TASTE, (COMPUTED, USERS),
        (LostData("user preferences", "set by users, down to excluded genres and libraries"),),
        references=(LooseReference("settings", TO_LIBRARIES),),
    ),
    ApertureTable(
        "user_franchise_preferences", Group.TASTE, (COMPUTED, USERS),
        (LostData("franchise preferences", "set by users", where=SET_BY_USER),),
    ),
    ApertureTable(
        "user_genre_weights", Group.TASTE, (COMPUTED, USERS),
        (LostData("genre weights", "set by users", where=SET_BY_USER),),
    ),
    ApertureTable(
        "user_custom_interests", Group.TASTE, (USERS,), (LostData("custom interests", ONLY_HERE),)
    ),
    ApertureTable("assistant_suggestions", Group.TASTE, (COMPUTED,)),
)  # fmt: skip
_WATCH_DATA = (
    ApertureTable(
        "watch_history",
        Group.WATCH_DATA,
        (SERVER,),
        (
            LostData(
                "watch history rows",
                "their users are disabled at the media server, or of "
                "another one, so no job fetches them",
                where="user_id IN (SELECT u.id FROM {users} AS u WHERE u.provider_disabled "
                "OR u.provider <> (SELECT s.value FROM {system_settings} AS s "
                "WHERE s.key = 'media_server_type'))",
                needs=("users.provider_disabled", "users.provider", "system_settings.value"),
            ),
        ),
        counted_as="watch_history",
    ),
)
_USER_DATA = (
    ApertureTable(
        "user_ratings", Group.USER_DATA, (USERS, SERVER),
        (
            LostData("manual ratings", ONLY_HERE, where="source = 'manual'"),
            LostData(
                "trakt ratings", "their users are not connected to Trakt",
                where="source = 'trakt' "
                "AND user_id NOT IN (SELECT id FROM {users} WHERE trakt_access_token IS NOT NULL)",
                needs=("users.trakt_access_token",),
            ),
        ),
        age_column="updated_at", counted_as="ratings",
    ),
    ApertureTable(
        "user_watching_series", Group.USER_DATA, (USERS, SERVER),
        (
            LostData(
                "series being watched",
                "their users or the setting watching_library_enabled are disabled, so no job "
                "fetches them from the media server",
                where="user_id IN (SELECT id FROM {users} WHERE NOT is_enabled) "
                "OR EXISTS (SELECT FROM {system_settings} "
                "WHERE key = 'watching_library_enabled' AND value = 'false')",
                needs=("users.is_enabled", "system_settings.value"),
            ),
        ),
        age_column="added_at",
    ),
    ApertureTable(
        "user_settings", Group.USER_DATA, (USERS,), (LostData("user settings", ONLY_HERE),)
    ),
    ApertureTable(
        "assistant_conversations", Group.USER_DATA, (USERS,),
        (
            LostData("chats", ONLY_HERE),
            LostData(
                "links in chats", "the chats are kept, their links to titles lead nowhere",
                with_rows_of=("movies", "series"),
            ),
        ),
        age_column="updated_at", counted_as="conversations",
    ),
    ApertureTable(
        "assistant_messages", Group.USER_DATA, (USERS,), (LostData("chat messages", ONLY_HERE),),
        references=(
            LooseReference("content", TO_TITLES),
            LooseReference("tool_invocations", TO_TITLES),
        ),
        age_column="created_at", counted_as="messages",
    ),
    ApertureTable(
        "channels", Group.USER_DATA, (USERS,),
        (
            LostData("channels", ONLY_HERE),
            LostData(
                "channels' example films", "films get new ids with the next sync",
                columns=("example_movie_ids",),
            ),
        ),
        references=(LooseReference("example_movie_ids", ("movies.id",), is_array=True),),
    ),
    ApertureTable(
        "channel_shares", Group.USER_DATA, (USERS,), (LostData("channel shares", ONLY_HERE),)
    ),
    ApertureTable(
        "graph_playlists", Group.USER_DATA, (USERS,),
        (
            LostData("graph playlists", "kept on the media server, unknown to Aperture"),
            LostData(
                "graph playlists' sources", "titles get new ids with the next sync",
                columns=("source_item_id",),
            ),
        ),
        references=(LooseReference("source_item_id", TO_TITLES, "source_item_type"),),
    ),
    ApertureTable(
        "media_images", Group.USER_DATA, (USERS, ADMIN),
        (LostData("uploaded pictures", "their files are kept on disk, unknown to Aperture"),),
        references=(
            LooseReference(
                "entity_id",
                (
                    *TO_LIBRARIES, "strm_libraries.provider_library_id",
                    "playlists.provider_playlist_id", "graph_playlists.media_server_playlist_id",
                    "channels.playlist_id", "channel_shares.viewer_playlist_id",
                ),
                "entity_type",
            ),
        ),
    ),
    ApertureTable(
        "discovery_requests", Group.USER_DATA, (USERS,),
        (LostData("requests", "Seerr keeps its own, and may be asked again"),),
        age_column="created_at",
    ),
)  # fmt: skip
_CONFIGURATION = (
    ApertureTable(
        "users", Group.CONFIGURATION, (SERVER, USERS, ADMIN),
        (LostData("users", "sync-users brings them back, without their settings and rights"),),
        counted_as="users",
    ),
    ApertureTable(
        "sessions", Group.CONFIGURATION, (USERS,), (LostData("logins", "everybody is logged out"),),
        age_column="expires_at",
    ),
    ApertureTable(
        "api_keys", Group.CONFIGURATION, (USERS,),
        (LostData("API keys", "what uses them has to get new ones"),),
    ),
    ApertureTable(
        "library_config", Group.CONFIGURATION, (SERVER, ADMIN),
        (LostData("library configurations", "the libraries have to be chosen again"),),
    ),
    ApertureTable(
        "playlists", Group.CONFIGURATION, (USERS, COMPUTED),
        (LostData("playlists", "kept on the media server, unknown to Aperture"),),
    ),
    ApertureTable("strm_libraries", Group.CONFIGURATION, (COMPUTED,)),
    ApertureTable(
        "system_settings", Group.CONFIGURATION, (Maker.MIGRATIONS, ADMIN),
        (LostData("settings", "all keys of media server, AI and other services among them"),),
    ),
    _default_settings(
        "recommendation_config", "recommendation settings", "reset to Aperture's defaults"
    ),
    _default_settings("top_picks_config", "Top Picks settings", "reset to Aperture's defaults"),
    _default_settings("backup_config", "backup settings", "reset to Aperture's defaults"),
    _default_settings("setup_progress", "setup states", "the setup wizard starts again"),
    _default_settings("job_config", "job schedules", "reset to Aperture's defaults"),
    ApertureTable("parental_rating_values", Group.CONFIGURATION, (Maker.MIGRATIONS,)),
    ApertureTable(
        "custom_ai_models", Group.CONFIGURATION, (ADMIN,),
        (LostData("AI models", "entered by hand"),),
    ),
)  # fmt: skip
_CACHES = (
    ApertureTable("studios_networks", Group.CACHE, (Maker.CACHE,)),
    ApertureTable("discovery_pool", Group.CACHE, (Maker.CACHE,), age_column="updated_at"),
    ApertureTable(
        "similarity_validation_cache", Group.CACHE, (COMPUTED,),
        references=(
            LooseReference("source_id", TO_TITLES, "source_type"),
            LooseReference("target_id", TO_TITLES, "target_type"),
        ),
        age_column="created_at",
    ),
    _cache("person_tmdb_profile_cache", "updated_at"),
    _cache("tmdb_collection_cache", "updated_at"),
    _cache("tmdb_poster_cache", "fetched_at"),
    _cache("justwatch_chart_cache", "fetched_at"),
)  # fmt: skip
_HISTORY = (
    ApertureTable(
        MIGRATIONS_TABLE, Group.HISTORY, (Maker.MIGRATIONS,), age_column="applied_at"
    ),
    ApertureTable(
        "job_runs", Group.HISTORY, (Maker.LOG,), (LostData("job runs", "the history of all jobs"),),
        age_column="started_at",
    ),
    ApertureTable("enrichment_runs", Group.HISTORY, (Maker.LOG,), age_column="started_at"),
    ApertureTable("api_errors", Group.HISTORY, (Maker.LOG,), age_column="created_at"),
)  # fmt: skip

TABLES: Mapping[str, ApertureTable] = {
    table.name: table
    for tables in (
        _CONTENT, _RECOMMENDATIONS, _TASTE, _WATCH_DATA, _USER_DATA, _CONFIGURATION, _CACHES,
        _HISTORY,
    )
    for table in tables
}  # fmt: skip
"""By name, without the tables of embeddings."""


def table_named(name: str) -> ApertureTable | None:
    """The entry of a table by its bare name; None when no version of Aperture has it."""
    if EMBEDDING_TABLE.fullmatch(name):
        return replace(_EMBEDDINGS, name=name)
    return TABLES.get(name)


def group_of(name: str) -> Group | None:
    """The group of a table by its bare name; None when no version of Aperture has it."""
    table = table_named(name)
    return table.group if table else None


def is_aperture(visible_names: Iterable[str]) -> bool:
    """True when these tables, found through the search_path, are a database of Aperture.

    The record of migrations is there from 0001 on; a database without it, but with the tables,
    is one of a previous installation.
    """
    names = set(visible_names)
    return MIGRATIONS_TABLE in names or names >= CORE_TABLES
