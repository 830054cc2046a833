"""Keeps the identities of titles and the rows of users that point at them, for relink."""

from __future__ import annotations

from collections.abc import Collection

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.aperture.kinds import MEDIA_TABLES, Media
from aperture_db.aperture.schema import (
    KEPT_TABLES,
    create_schema,
    has_kept_tables,
    missing_grant,
    own_tables,
)
from aperture_db.errors import ApertureDbError
from aperture_db.postgres.session import Connection
from aperture_db.relink.kept import (
    PROFILES,
    WATCH_HISTORY,
    Library,
    RowSource,
)
from aperture_db.relink.report import KeptCounts, RowOrigin


def require_may_keep(conn: Connection, *ways_out: str) -> None:
    """Raise ApertureDbError with the GRANT when the role can't keep anything; `ways_out` say how to
    do without."""
    if grant := missing_grant(conn, KEPT_TABLES):
        raise ApertureDbError(
            "user data can't be kept, nothing was changed",
            why="the role may not create or write the tables of the schema aperture_db",
            next_step=(f"as the owner or a superuser run: {grant}", *ways_out),
            code="no_privilege",
        )


def create_kept_tables(conn: Connection) -> bool:
    """Create the tables of what is kept unless they exist, within the open transaction; returns
    whether they are new. Their indexes are a matter of `relink/create_indexes`."""
    create_schema(conn)
    if own_tables(conn) >= set(KEPT_TABLES):
        return False
    conn.execute(queries.load("relink/create"))
    return True


def keep(
    conn: Connection,
    library: Library,
    media: Collection[Media],
    origin: RowOrigin,
    *,
    profiles_of: Collection[Media] = (),
) -> KeptCounts:
    """Keep all titles of these kinds and the rows that point at them, within the open transaction.

    A row that is kept already is kept as it is now. `profiles_of`: of which media locked taste
    profiles are kept, too. Needs SELECT on Aperture's tables.
    """
    is_new = create_kept_tables(conn)
    conn.execute(_formatted("keep_users", users=library.tables["users"].identifier))
    kinds = [kind for kind in Media if kind in media and MEDIA_TABLES[kind] in library.tables]
    titles = {}
    for kind in kinds:
        if not is_new:
            _drop_deleted(conn, library, kind)
        titles[MEDIA_TABLES[kind]] = _keep_titles(conn, library, kind, is_new=is_new)
    if is_new:
        conn.execute(queries.load("relink/analyze_titles"))
    rows = {}
    for source in library.sources:
        condition = _going(library, source, kinds)
        if condition is not None:
            join = _formatted("only_title_of_row" if is_new else "title_of_row", title=source.title)
            rows[source.name] = _keep_rows(conn, source, join, condition, origin, is_new=is_new)
    if profiles_of and library.has(PROFILES, "is_locked", "user_id"):
        profiles = RowSource(library.tables[PROFILES], {})
        no_title = sql.SQL("CROSS JOIN (SELECT NULL::bigint AS id) AS title")
        locked = _locked_profiles(profiles_of)
        rows[PROFILES] = _keep_rows(conn, profiles, no_title, locked, origin, is_new=is_new)
    if is_new:
        conn.execute(queries.load("relink/create_indexes"))
    return KeptCounts(titles, rows)


def count_what_would_be_kept(
    conn: Connection,
    library: Library,
    media: Collection[Media],
    *,
    profiles_of: Collection[Media] = (),
) -> KeptCounts:
    """The counts of `keep`, without keeping anything."""
    kinds = [kind for kind in Media if kind in media and MEDIA_TABLES[kind] in library.tables]
    titles = {
        MEDIA_TABLES[kind]: _count(
            conn, sql.SQL("SELECT count(*) FROM ({}) AS t").format(_kept_titles_of(library, kind))
        )
        for kind in kinds
    }
    rows = {}
    for source in library.sources:
        condition = _going(library, source, kinds)
        if condition is not None:
            table = source.table.identifier
            rows[source.name] = _count(
                conn, _formatted("count_rows", table=table, condition=condition)
            )
    if profiles_of and library.has(PROFILES, "is_locked", "user_id"):
        table = library.tables[PROFILES].identifier
        condition = _locked_profiles(profiles_of)
        rows[PROFILES] = _count(conn, _formatted("count_rows", table=table, condition=condition))
    return KeptCounts(titles, rows)


def count_purged(conn: Connection, library: Library, source: str) -> int:
    """The rows that `drop_purged` drops and that are not in their table any more."""
    if not has_kept_tables(conn) or source not in library.tables:
        return 0
    table = library.tables[source].identifier
    return _count(conn, _formatted("count_purged", table=table, source=sql.Literal(source)))


def drop_purged(conn: Connection, source: str) -> None:
    """Put nothing back that an administrator purges by name: its waiting rows are done."""
    if has_kept_tables(conn):
        conn.execute(queries.load("relink/drop_purged_rows"), {"source": source})


def drop_kept_tables(conn: Connection) -> None:
    """Drop everything that is kept, within the open transaction. Needs to own the tables."""
    conn.execute(queries.load("relink/forget"))


def _keep_titles(conn: Connection, library: Library, kind: Media, *, is_new: bool) -> int:
    literal = sql.Literal(str(kind))
    parts = {
        "titles": _kept_titles_of(library, kind),
        "server": sql.Literal(library.server),
        "is_same": _formatted("is_same_title", kind=literal),
    }
    renewed = 0 if is_new else conn.execute(_formatted("refresh_titles", **parts)).rowcount
    return renewed + conn.execute(_formatted("keep_titles", **parts, kind=literal)).rowcount


def _kept_titles_of(library: Library, kind: Media) -> sql.Composed:
    """Films and series all, because anything can name them; episodes where a kept row does."""
    if kind is not Media.EPISODE:
        return library.titles(kind)
    history = library.source(WATCH_HISTORY)
    if history is None or Media.EPISODE not in history.title_columns:
        return library.titles(kind, sql.SQL("false"))
    condition = sql.SQL("t.id IN (SELECT r.{} FROM {} AS r WHERE r.user_id IN ({}))")
    column = sql.Identifier(history.title_columns[Media.EPISODE])
    named = condition.format(column, history.table.identifier, library.unread_users)
    return library.titles(kind, named)


def _going(library: Library, source: RowSource, kinds: Collection[Media]) -> sql.Composable | None:
    """The condition on a source's rows that point at titles of these kinds; None when no row can.
    Of the watch history only rows that no sync would bring back."""
    columns = [column for kind, column in source.title_columns.items() if kind in kinds]
    if not columns:
        return None
    any_of = sql.SQL(" OR ").join(
        sql.SQL("{} IS NOT NULL").format(sql.Identifier("r", column)) for column in columns
    )
    condition: sql.Composed = sql.SQL("({})").format(any_of)
    if source.name == WATCH_HISTORY:
        condition += sql.SQL(" AND r.user_id IN ({})").format(library.unread_users)
    return condition


def _locked_profiles(media: Collection[Media]) -> sql.Composed:
    names = [str(each) for each in media]
    return sql.SQL("r.is_locked AND r.embedding IS NOT NULL AND r.media_type = ANY ({})").format(
        sql.Literal(names)
    )


def _keep_rows(
    conn: Connection,
    source: RowSource,
    join_title: sql.Composable,
    condition: sql.Composable,
    origin: RowOrigin,
    *,
    is_new: bool,
) -> int:
    statement = _formatted(
        "keep_rows",
        source=sql.Literal(source.name),
        table=source.table.identifier,
        changed_at=source.changed_at,
        join_title=join_title,
        condition=condition,
        if_kept=sql.SQL("" if is_new else queries.load("relink/renew_row")),
    )
    return conn.execute(statement, {"origin": str(origin)}).rowcount


def _drop_deleted(conn: Connection, library: Library, kind: Media) -> None:
    """Mark rows as done that were kept in place and are gone although their title is not."""
    for source in library.sources:
        if kind in source.title_columns:
            conn.execute(
                _formatted(
                    "drop_deleted_rows",
                    source=sql.Literal(source.name),
                    kind=sql.Literal(str(kind)),
                    titles=library.tables[MEDIA_TABLES[kind]].identifier,
                    table=source.table.identifier,
                    users=library.tables["users"].identifier,
                )
            )


def _count(conn: Connection, query: sql.Composed) -> int:
    row = conn.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _formatted(name: str, **parts: sql.Composable) -> sql.Composed:
    return sql.SQL(queries.load(f"relink/{name}")).format(**parts)
