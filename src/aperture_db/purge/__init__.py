"""Deletes exactly what was shown: films, series, all content, watch history, ratings, everything.

`scopes` says what each target deletes and resets, and `selection` follows the foreign keys from
there. `plan` counts and warns; `execute` carries the plan out in one transaction, through
`deletion` or, for everything, `rebuild`, and compares the result with the plan before the commit.
"""

from dataclasses import dataclass
from enum import StrEnum


class PurgeTarget(StrEnum):
    """The data that a purge deletes: the values of --what."""

    MOVIES = "movies"
    SERIES = "series"
    CONTENT = "content"
    WATCH_HISTORY = "watch-history"
    RATINGS = "ratings"
    EVERYTHING = "everything"


@dataclass(frozen=True)
class PurgeOptions:
    """Decisions about a purge besides its target."""

    include_locked: bool = False
    """Also reset taste profiles that users have locked."""
    keep_runs: bool = False
    """With watch-history: keep the recommendation runs that were made from it."""
    keep: bool = True
    """Keep identities of titles and the rows of users that point at them, for relink."""
    include_kept: bool = False
    """With everything: also drop what earlier purges kept for relink."""
