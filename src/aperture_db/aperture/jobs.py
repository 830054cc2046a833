"""The jobs of Aperture: names in `job_config.job_name` and `job_runs.job_name`."""

SYNC_USERS = "sync-users"
SYNC_MOVIES = "sync-movies"
SYNC_SERIES = "sync-series"
GENERATE_MOVIE_EMBEDDINGS = "generate-movie-embeddings"
GENERATE_SERIES_EMBEDDINGS = "generate-series-embeddings"

KNOWN_JOBS = frozenset(
    {
        SYNC_USERS,
        SYNC_MOVIES,
        SYNC_SERIES,
        GENERATE_MOVIE_EMBEDDINGS,
        GENERATE_SERIES_EMBEDDINGS,
        "auto-request-top-picks",
        "backup-database",
        "enrich-mdblist",
        "enrich-metadata",
        "enrich-studio-logos",
        "full-reset-movie-recommendations",
        "full-reset-series-recommendations",
        "generate-discovery-suggestions",
        "generate-movie-recommendations",
        "generate-series-recommendations",
        "refresh-ai-pricing",
        "refresh-assistant-suggestions",
        "refresh-library-gaps",
        "refresh-top-picks",
        "restore-database",
        "sync-movie-libraries",
        "sync-movie-watch-history",
        "sync-series-libraries",
        "sync-series-watch-history",
        "sync-trakt-ratings",
        "sync-watching-favorites",
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
