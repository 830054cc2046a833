"""The kinds of titles, and the tables that hold them."""

from __future__ import annotations

from enum import StrEnum


class Media(StrEnum):
    """A kind of title; also the value of the columns `media_type`."""

    MOVIE = "movie"
    SERIES = "series"
    EPISODE = "episode"


MEDIA_TABLES = {Media.MOVIE: "movies", Media.SERIES: "series", Media.EPISODE: "episodes"}
COLLECTION_TYPES = {Media.MOVIE: "movies", Media.SERIES: "tvshows"}
"""As `library_config.collection_type` names what a library holds."""
