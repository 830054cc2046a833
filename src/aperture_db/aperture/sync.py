"""Marks that the sync jobs leave: what they read the next time as "changed since"."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SyncMark:
    """A column of `users` with the time up to which data has been fetched."""

    column: str
    table: str
    """The data that it vouches for."""
    media_type: str | None
    """The value of `media_type` in that table, where it only vouches for a part."""


SYNC_MARKS = (
    SyncMark("watch_history_synced_at", "watch_history", "movie"),
    SyncMark("series_watch_history_synced_at", "watch_history", "episode"),
    SyncMark("trakt_synced_at", "user_ratings", None),
)
