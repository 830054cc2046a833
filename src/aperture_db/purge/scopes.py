"""The rows that each target deletes and resets, by the names of Aperture's tables.

Rows that foreign keys delete with them are not listed here: `selection` finds them in the catalog.
A table or column that a version lacks is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aperture_db.aperture.kinds import SYNC_MARKS, Media
from aperture_db.purge import PurgeOptions, PurgeTarget

NULL = "NULL"


@dataclass(frozen=True)
class Rows:
    """Rows to delete: all of a table, or those that meet every condition given."""

    table: str
    media: tuple[str, ...] = ()
    """Values of `media_type`. Before a table had that column, all of its rows were of films."""
    where: str | None = None
    """A condition on the table's own columns."""


@dataclass(frozen=True)
class Reset:
    """Columns that get another value in rows that are kept."""

    table: str
    columns: Mapping[str, str]
    """The new value, as SQL, by column."""
    effect: str
    """The consequence for users."""
    media: tuple[str, ...] = ()
    where: str | None = None


@dataclass(frozen=True)
class Scope:
    """Everything that one target deletes and resets."""

    rows: tuple[Rows, ...]
    resets: tuple[Reset, ...]
    kept: tuple[str, ...]
    """Data that is kept although one might expect otherwise, in words."""
    embeddings: frozenset[Media] = frozenset()
    """All embeddings of these are deleted."""


def scope_of(target: PurgeTarget, options: PurgeOptions) -> Scope:
    """The scope of `target`; `everything` has none: it is a rebuild."""
    match target:
        case PurgeTarget.MOVIES:
            return _content_scope((Media.MOVIE,), options)
        case PurgeTarget.SERIES:
            return _content_scope((Media.SERIES,), options)
        case PurgeTarget.CONTENT:
            return _content_scope((Media.MOVIE, Media.SERIES), options)
        case PurgeTarget.WATCH_HISTORY:
            return _watch_history_scope(options)
        case PurgeTarget.RATINGS:
            return _ratings_scope(options)
        case PurgeTarget.EVERYTHING:
            raise ValueError("everything is a rebuild")


def _content_scope(media: tuple[Media, ...], options: PurgeOptions) -> Scope:
    """Films, series, or both, with all data derived from them."""
    films, series = Media.MOVIE in media, Media.SERIES in media
    embeddings = {*media, Media.EPISODE} if series else set(media)
    return Scope(
        rows=(
            *(_film_rows() if films else ()),
            *(_series_rows() if series else ()),
            *(_rows_of_both() if films and series else _rows_by_media(media[0])),
            *(() if options.keep else (_dangling_rows(media),)),
            Rows("assistant_suggestions"),
        ),
        resets=tuple(_content_resets(media, options)),
        kept=_kept_with_content(media),
        embeddings=frozenset(embeddings),
    )


def _film_rows() -> tuple[Rows, ...]:
    return (Rows("movies"), Rows("collections"), Rows("gap_analysis_runs"))


def _series_rows() -> tuple[Rows, ...]:
    return (Rows("series"), Rows("episodes"), Rows("user_watching_series"))


def _rows_of_both() -> tuple[Rows, ...]:
    return (
        Rows("watch_history"),
        Rows("user_ratings"),
        *_recommendations(),
    )


def _rows_by_media(media: Media) -> tuple[Rows, ...]:
    watched = "movie" if media is Media.MOVIE else "episode"
    return (
        Rows("watch_history", media=(watched,)),
        Rows("user_ratings", where=f"{media}_id IS NOT NULL"),
        Rows("recommendation_runs", media=(media,)),
        Rows("discovery_runs", media=(media,)),
    )


def _recommendations() -> tuple[Rows, ...]:
    """Whole runs: a completed run without candidates would empty the users' libraries."""
    return (Rows("recommendation_runs"), Rows("discovery_runs"))


def _dangling_rows(media: tuple[Media, ...]) -> Rows:
    """Cached verdicts on pairs of titles, which relink could give the new ids."""
    types = _listed(media)
    where = f"source_type IN ({types}) OR target_type IN ({types})"
    return Rows("similarity_validation_cache", where=where)


def _content_resets(media: tuple[Media, ...], options: PurgeOptions) -> Iterator[Reset]:
    yield _history_marks("movie" if each is Media.MOVIE else "episode" for each in media)
    yield from _taste_resets(media, options)
    if not options.keep:
        yield from _dangling_resets(media)


def _dangling_resets(media: tuple[Media, ...]) -> Iterator[Reset]:
    """References to titles without a foreign key. They are left in place for relink, which gives
    them the new ids; Aperture passes over ids that are no title's."""
    yield Reset(
        "graph_playlists",
        {"source_item_id": NULL},
        "the playlist is kept without the title it was made from",
        where=f"source_item_type IN ({_listed(media)})",
    )
    if Media.MOVIE in media:
        yield Reset(
            "channels",
            {"example_movie_ids": "'{}'"},
            "the channel is kept without its example films",
            where="example_movie_ids IS NOT NULL",
        )


def _listed(media: tuple[Media, ...]) -> str:
    return ", ".join(f"'{each}'" for each in media)


def _watch_history_scope(options: PurgeOptions) -> Scope:
    made_from_it = (*_recommendations(), Rows("assistant_suggestions"))
    media = (Media.MOVIE, Media.SERIES)
    recommendations = (
        ("recommendations and discoveries, although they name watched titles",)
        if options.keep_runs
        else ()
    )
    return Scope(
        rows=(
            Rows("watch_history"),
            *(() if options.keep_runs else made_from_it),
        ),
        resets=(
            _history_marks(("movie", "episode")),
            *_taste_resets(media, options),
        ),
        kept=(
            "films, series, episodes and their embeddings",
            "ratings",
            *recommendations,
            "franchise and genre preferences, which no job derives again",
            "users, settings, chats, channels, playlists, all configuration, job history",
        ),
    )


def _ratings_scope(options: PurgeOptions) -> Scope:
    marks = [mark.column for mark in SYNC_MARKS if mark.table == "user_ratings"]
    return Scope(
        rows=(Rows("user_ratings"),),
        resets=(
            Reset("users", dict.fromkeys(marks, NULL), "shown as never synced with Trakt"),
            Reset(
                "user_taste_profiles",
                {"auto_updated_at": NULL},
                "computed again by the next recommendations",
                where=_unless_locked(options),
            ),
        ),
        kept=(
            "films, series, watch history, embeddings and recommendations",
            "the setting how disliked titles are treated",
            "users, settings, chats, channels, playlists, all configuration, job history",
        ),
    )


def _history_marks(media_types: Iterator[str] | tuple[str, ...]) -> Reset:
    wanted = set(media_types)
    marks = [mark.column for mark in SYNC_MARKS if mark.media_type in wanted]
    return Reset("users", dict.fromkeys(marks, NULL), "the next sync fetches the whole history")


def _taste_resets(media: tuple[Media, ...], options: PurgeOptions) -> Iterator[Reset]:
    yield Reset(
        "user_taste_profiles",
        dict.fromkeys(("embedding", "embedding_model", "auto_updated_at"), NULL),
        "computed again by the next recommendations; settings are kept",
        media=() if len(media) > 1 else media,
        where=_unless_locked(options),
    )
    prefixes = ["" if each is Media.MOVIE else "series_" for each in media]
    names = ("embedding", "embedding_updated_at", "synopsis", "synopsis_updated_at")
    yield Reset(
        "user_preferences",
        {f"{prefix}taste_{name}": NULL for prefix in prefixes for name in names},
        "each user can request a new synopsis; settings are kept",
    )


def _unless_locked(options: PurgeOptions) -> str | None:
    return None if options.include_locked else "is_locked IS NOT TRUE"


def _kept_with_content(media: tuple[Media, ...]) -> tuple[str, ...]:
    others: tuple[str, ...] = ()
    if Media.SERIES not in media:
        others = ("series and episodes with all their data",)
    elif Media.MOVIE not in media:
        others = ("films with all their data, collections",)
    return (
        *others,
        "users, their settings, interests, API keys and logins",
        "franchise and genre preferences, which no job derives again",
        "chats, channels, playlists, virtual libraries, uploaded pictures",
        "requests sent to Seerr, the discovery pool, caches of TMDb, studios and networks",
        "all configuration, job history",
    )
