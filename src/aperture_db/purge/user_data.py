"""User data that a purge keeps for relink: identities of titles, and rows that point at them."""

from __future__ import annotations

from dataclasses import dataclass

from aperture_db.aperture.kinds import Media
from aperture_db.postgres.catalog import missing_grant
from aperture_db.postgres.connection import Connection
from aperture_db.purge import PurgeOptions, PurgeTarget
from aperture_db.purge.report import MissingPrivilege
from aperture_db.relink.keep import (
    count_what_would_be_kept,
    drop_kept_tables,
    drop_purged,
    keep,
)
from aperture_db.relink.kept import KEPT_TABLES, RATINGS, WATCH_HISTORY, read_library
from aperture_db.relink.report import KeptCounts, RowOrigin

FILMS = (Media.MOVIE,)
SERIES = (Media.SERIES, Media.EPISODE)
MEDIA_OF = {
    PurgeTarget.MOVIES: FILMS,
    PurgeTarget.SERIES: SERIES,
    PurgeTarget.CONTENT: (*FILMS, *SERIES),
}
"""The titles that a target deletes; the others delete none."""
PURGED_SOURCE = {PurgeTarget.RATINGS: RATINGS, PurgeTarget.WATCH_HISTORY: WATCH_HISTORY}
NO_KEEP = "; or purge without keeping user data: --no-keep"


@dataclass(frozen=True)
class UserDataKeeper:
    """Keeps what a purge of this target would otherwise lose."""

    target: PurgeTarget
    options: PurgeOptions

    @property
    def is_needed(self) -> bool:
        """Whether the purge deletes titles, or vectors of locked profiles, and is to keep data."""
        is_locked_reset = self.options.include_locked and self.target is PurgeTarget.WATCH_HISTORY
        return self.options.keep and (self.target in MEDIA_OF or is_locked_reset)

    def count(self, conn: Connection) -> KeptCounts | None:
        """What would be kept, within the open transaction. Needs SELECT on the tables."""
        if not self.is_needed:
            return None
        return count_what_would_be_kept(
            conn, read_library(conn), self._media, profiles_of=self._profiles_of
        )

    def missing_privilege(self, conn: Connection) -> MissingPrivilege | None:
        """The privilege that keeping needs and the role lacks."""
        grant = missing_grant(conn, KEPT_TABLES) if self.is_needed else None
        return MissingPrivilege("CREATE", ("schema aperture_db",), grant) if grant else None

    def act(self, conn: Connection) -> None:
        """Keep, and make sure that relink does not put back what is purged by name."""
        if self.is_needed:
            library = read_library(conn)
            keep(conn, library, self._media, RowOrigin.PURGE, profiles_of=self._profiles_of)
        if self.target in PURGED_SOURCE:
            drop_purged(conn, PURGED_SOURCE[self.target])
        if self.target is PurgeTarget.EVERYTHING and self.options.include_kept:
            drop_kept_tables(conn)

    @property
    def _media(self) -> tuple[Media, ...]:
        return MEDIA_OF.get(self.target, ())

    @property
    def _profiles_of(self) -> tuple[Media, ...]:
        """The media of locked profiles that the purge resets."""
        if not self.options.include_locked:
            return ()
        return self._media or (*FILMS, *SERIES)
