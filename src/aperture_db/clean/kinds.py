"""What piles up in Aperture's database and can go safely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

DAY_SECONDS = 86_400.0
# The longest time for which Aperture takes a cached row for fresh (tmdb_poster_cache).
LONGEST_TTL_SECONDS = 7 * DAY_SECONDS


class Kind(StrEnum):
    """The words by which a user names what is to go."""

    ORPHANS = "orphans"
    EXPIRED_SESSIONS = "expired-sessions"
    LEGACY_EMBEDDINGS = "legacy-embeddings"
    STALE_EMBEDDINGS = "stale-embeddings"
    JOB_HISTORY = "job-history"
    OLD_RUNS = "old-runs"
    DEAD_JOBS = "dead-jobs"
    OLD_CACHE = "old-cache"
    API_ERRORS = "api-errors"


DESCRIPTIONS: Mapping[Kind, str] = {
    Kind.ORPHANS: "cached verdicts on titles that are gone",
    Kind.EXPIRED_SESSIONS: "logins that have ended",
    Kind.LEGACY_EMBEDDINGS: "what migration 0078 left; nothing reads it",
    Kind.STALE_EMBEDDINGS: "embeddings of models that are not in use",
    Kind.JOB_HISTORY: "job runs beyond the newest of each job",
    Kind.OLD_RUNS: "recommendation runs that newer ones replaced",
    Kind.DEAD_JOBS: "schedules of jobs that no longer exist",
    Kind.OLD_CACHE: "cached rows not refreshed for a long time",
    Kind.API_ERRORS: "errors of other services, dismissed or old",
}


@dataclass(frozen=True)
class Limits:
    """How much stays of what is kept for a while."""

    runs_per_job: int = 100
    """Newest runs of each job; its newest completed run stays anyway."""
    cache_age_seconds: float = 30 * DAY_SECONDS
    """Cached rows refreshed within this time stay."""
    error_age_seconds: float = 90 * DAY_SECONDS
    """Errors that nobody dismissed stay for this time; dismissed ones for a week."""
