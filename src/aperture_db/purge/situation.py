"""What the plan is made from: the database at one moment, and what is to be purged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.aperture import Media
from aperture_db.postgres.catalog import Table
from aperture_db.postgres.connection import Connection
from aperture_db.purge.counting import Counted
from aperture_db.purge.scopes import Options
from aperture_db.purge.selection import Selection, TableEffect
from aperture_db.purge.what import What

MEDIA_OF = {
    What.MOVIES: (Media.MOVIE,),
    What.SERIES: (Media.SERIES,),
}
BOTH = (Media.MOVIE, Media.SERIES)


@dataclass(frozen=True)
class Situation:
    """The database as the plan finds it. Tables that are absent or unreadable are not in it."""

    conn: Connection
    what: What
    options: Options
    tables: Mapping[str, Table]
    selection: Selection
    counts: Mapping[int, Counted]

    @property
    def media(self) -> tuple[Media, ...]:
        """Films, series or both."""
        return MEDIA_OF.get(self.what, BOTH)

    @property
    def takes_content(self) -> bool:
        return self.what in (What.MOVIES, What.SERIES, What.CONTENT)

    def has(self, table: str, *columns: str) -> bool:
        found = self.tables.get(table)
        return found is not None and set(columns) <= set(found.columns)

    def effect(self, table: str) -> TableEffect | None:
        found = self.tables.get(table)
        return next((e for e in self.selection.effects if e.table == found), None)

    def rows_going(self, table: str) -> int:
        found = self.tables.get(table)
        counted = self.counts.get(found.oid) if found else None
        return counted.going if counted else 0

    def rows_changed(self, table: str, column: str) -> int:
        """The rows in which a column gets another value."""
        effect = self.effect(table)
        if effect is None:
            return 0
        changed = zip(effect.changes, self.counts[effect.table.oid].changed, strict=True)
        return sum(rows for change, rows in changed if column in change.columns)

    def ask(self, query: str, **parts: str | sql.Composable) -> list[tuple[object, ...]]:
        """The rows of a query of sql/purge; text becomes a literal."""
        return self.conn.execute(sql.SQL(queries.load(f"purge/{query}")).format(**parts)).fetchall()

    def count(self, query: str, **parts: str | sql.Composable) -> int:
        """The one number that a query of sql/purge gives."""
        return int(str(self.ask(query, **parts)[0][0]))
