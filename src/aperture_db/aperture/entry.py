"""The words of the registry: kinds of titles, groups and makers of data, and a table's entry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Media(StrEnum):
    """A kind of title; also the value of the columns `media_type`."""

    MOVIE = "movie"
    SERIES = "series"
    EPISODE = "episode"


MEDIA_TABLES = {Media.MOVIE: "movies", Media.SERIES: "series", Media.EPISODE: "episodes"}
EMBEDDING_TABLE = re.compile(
    r"(?P<media>series_|episode_)?embeddings(?:_(?P<dimension>\d+)|(?P<legacy>_legacy))?"
)
"""The names of the tables of embeddings."""
COLLECTION_TYPES = {Media.MOVIE: "movies", Media.SERIES: "tvshows"}
"""As `library_config.collection_type` names what a library holds."""


class Group(StrEnum):
    """The kind of data that a table mainly holds; the words are shown to the user."""

    CONTENT = "content"
    """Titles of the media server: the next sync brings them back."""
    EMBEDDINGS = "embeddings"
    """Computed from content, at a price."""
    RECOMMENDATIONS = "recommendations"
    """Output of the recommendation, discovery and gap jobs."""
    TASTE = "taste"
    """Derived from what users watch; some rows and columns are set by the user."""
    WATCH_DATA = "watch data"
    """Copied from the media server."""
    USER_DATA = "user data"
    """Made by users; exists nowhere else."""
    CONFIGURATION = "configuration"
    """Accounts, settings and keys."""
    CACHE = "cache"
    HISTORY = "history"
    """Logs of jobs, and the record of migrations."""


class Maker(StrEnum):
    """Whoever makes the rows of a table."""

    MEDIA_SERVER = "media server"
    """Copied from it by a sync."""
    COMPUTED = "computed"
    """By a job of Aperture."""
    USERS = "users"
    ADMINISTRATOR = "administrator"
    CACHE = "cache"
    """Fetched from another service, and fetched again when needed."""
    LOG = "log"
    MIGRATIONS = "migrations"


@dataclass(frozen=True)
class LostData:
    """Data that no job brings back once its rows are deleted or its columns are reset."""

    noun: str
    """In the plural, to stand behind a number."""
    why: str
    where: str | None = None
    """A condition on the rows that hold such data, as SQL; None: all rows.

    Other tables stand in braces, as in `{users}`, for their names with their schema.
    """
    needs: tuple[str, ...] = ()
    """`table.column` of other tables that `where` reads."""
    columns: tuple[str, ...] = ()
    """Lost when one of these columns is reset in a row that is kept."""
    with_rows_of: tuple[str, ...] = ()
    """Lost, although its row is kept, when rows of these tables are deleted.

    Without `columns` and `with_rows_of` the data is lost when its row is deleted.
    """


@dataclass(frozen=True)
class LooseReference:
    """A column that refers to rows of other tables without a foreign key."""

    column: str
    targets: tuple[str, ...]
    """`table.column` that it can refer to."""
    type_column: str | None = None
    """The column that says which of the targets: movie or series."""
    is_array: bool = False
    is_embedded: bool = False
    """The ids are somewhere inside a text or JSON value."""


@dataclass(frozen=True)
class ApertureTable:
    """Everything about a table of Aperture that its catalog does not tell."""

    name: str
    group: Group
    makers: tuple[Maker, ...]
    losses: tuple[LostData, ...] = ()
    """Data that cannot be recovered when the table's rows are deleted or reset."""
    rebuilt_by: tuple[str, ...] = ()
    """The jobs that make the other rows again."""
    references: tuple[LooseReference, ...] = ()
    age_column: str | None = None
    """When a row was made, or last refreshed."""
    is_refetched: bool = False
    """A cache whose old rows can be deleted: those still needed are fetched again."""
    counted_as: str | None = None
    """The field of the overview of stats that has the number of its rows."""
    is_historic: bool = False
    """No bundled migration creates it; some databases have it all the same."""

    @property
    def holds_user_data(self) -> bool:
        """Users or administrators made some of its rows."""
        return Maker.USERS in self.makers or Maker.ADMINISTRATOR in self.makers
