"""The choices of --what. Apart from the rest, because help loads no driver."""

from __future__ import annotations

from enum import StrEnum


class What(StrEnum):
    """What a purge takes."""

    MOVIES = "movies"
    SERIES = "series"
    CONTENT = "content"
    WATCH_HISTORY = "watch-history"
    RATINGS = "ratings"
    EVERYTHING = "everything"
