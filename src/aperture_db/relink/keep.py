"""Keeps the identities of titles and the rows of users that point at them, for relink.

What is kept is carried to another database as JSON Lines, or by the CSV of
`purge --export-ratings`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

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
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.new_files import new_file
from aperture_db.postgres.session import Connection
from aperture_db.relink.kept import (
    PROFILES,
    RATINGS,
    WATCH_HISTORY,
    Library,
    RowSource,
    require_kept_tables,
)
from aperture_db.relink.report import KeptCounts, RowOrigin
from aperture_db.safe_files import read_input_text


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


FORMAT = "aperture-db kept data"
VERSION = 1
BATCH = 1_000
# A library of 200,000 films with as many series fits.
MOST_IMPORTED_BYTES = 1 << 30
CSV_COLUMNS = {"username", "rating", "source", "media_type", "title", "year"}
ADVICE = "give a file of relink --export or of purge --export-ratings"


@dataclass(frozen=True)
class Transfer:
    """What was written to a file, or read from one."""

    file: str
    users: int
    titles: int
    rows: int
    new_rows: int | None = None
    """Of an import: those that were not kept here already."""


def export_kept(conn: Connection, path: Path) -> Transfer:
    """Write everything that is not put back yet to a new file that only its owner can read.

    Belongs into an open transaction, which gives it one snapshot. Needs SELECT on the kept tables.
    """
    require_kept_tables(conn)
    counts = {"user": 0, "title": 0, "row": 0}
    try:
        with new_file(path) as file, file.writer() as writer:
            writer.write(_line({"type": "header", "format": FORMAT, "version": VERSION}))
            for kind in counts:
                for (value,) in conn.execute(queries.load(f"relink/export_{kind}s")):
                    writer.write(_line({"type": kind} | value))
                    counts[kind] += 1
    except OSError as error:
        raise ApertureDbError(
            f"could not write {path}",
            why=error.strerror or str(error),
            next_step="name a new file in a directory that exists",
            code="unusable_file",
        ) from error
    return Transfer(str(path.absolute()), counts["user"], counts["title"], counts["row"])


def import_kept(conn: Connection, path: Path) -> Transfer:
    """Keep what a file holds as if it had been purged here, within the open transaction.

    Importing a file twice adds nothing. Raises UsageError for a file of another kind.
    """
    records = list(_read(path))
    if create_kept_tables(conn):
        conn.execute(queries.load("relink/create_indexes"))
    found = {kind: [r for r in records if r["type"] == kind] for kind in ("user", "title", "row")}
    for batch in _batches(found["user"]):
        conn.execute(queries.load("relink/import_users"), {"users": _as_json(batch)})
    kept_ids: dict[int, int] = {}
    is_same = sql.SQL(queries.load("relink/is_same_title")).format(kind=sql.SQL("t.kind"))
    for batch in _batches(found["title"]):
        titles = {"titles": _as_json(batch)}
        add = sql.SQL(queries.load("relink/import_titles")).format(is_same=is_same)
        conn.execute(add, titles)
        find = sql.SQL(queries.load("relink/find_imported")).format(is_same=is_same)
        kept_ids |= dict(conn.execute(find, titles).fetchall())
    rows = [row | {"title_id": kept_ids.get(row["title_id"])} for row in found["row"]]
    new_rows = 0
    for batch in _batches(rows):
        statement = queries.load("relink/import_rows")
        new_rows += conn.execute(statement, {"rows": _as_json(batch)}).rowcount
    counts = (len(found["user"]), len(found["title"]), len(found["row"]))
    return Transfer(str(path.absolute()), *counts, new_rows)


def _line(record: dict[str, Any]) -> bytes:
    # A byte that is no UTF-8 becomes \\udcXX, which JSON reads as what Python made of it.
    return json.dumps(record, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def _as_json(batch: list[dict[str, Any]]) -> str:
    """Without \\u escapes: only UTF8 databases take those of every letter."""
    return json.dumps(batch, ensure_ascii=False)


def _batches(records: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    return (records[start : start + BATCH] for start in range(0, len(records), BATCH))


def _read(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = read_input_text(path, MOST_IMPORTED_BYTES)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _unusable(path, "it is not a text in UTF-8") from error
    first, _, _ = text.partition("\n")
    if set(first.strip().split(",")) >= CSV_COLUMNS:
        return _ratings(csv.DictReader(io.StringIO(text)))
    return _records(path, text.splitlines())


def _records(path: Path, lines: Collection[str]) -> Iterator[dict[str, Any]]:
    if not lines:
        raise _unusable(path, "it is empty")
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            kind = record["type"]
        except (ValueError, TypeError, KeyError) as error:
            raise _unusable(path, f"line {number} is not a record of kept data") from error
        if number == 1 and (record.get("format"), record.get("version")) != (FORMAT, VERSION):
            raise _unusable(path, "its first line is not that of kept data of version 1")
        if kind in ("user", "title", "row"):
            yield record


def _ratings(lines: Iterable[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """Ratings as records of kept data. Their ids are made from what they say, so that importing
    a file twice adds nothing."""
    users: dict[UUID, str] = {}
    titles: dict[UUID, int] = {}
    for line in lines:
        ids = {name: line.get(name) or None for name in ("imdb_id", "tmdb_id", "tvdb_id")}
        kind = Media(line["media_type"])
        name, year = line["title"], line["year"]
        user_id = uuid5(NAMESPACE_URL, f"aperture-db:user:{line['username']}")
        title_id = uuid5(NAMESPACE_URL, f"aperture-db:title:{[kind, name, year, *ids.values()]}")
        if user_id not in users:
            users[user_id] = line["username"]
            yield {"type": "user", "user_id": str(user_id), "username": line["username"]}
        if title_id not in titles:
            titles[title_id] = len(titles)
            yield {
                "type": "title", "id": titles[title_id], "old_id": str(title_id), "kind": kind,
                "title": name, "year": int(year) if year else None,
                "item_id": line.get("provider_item_id") or None, **ids,
            }  # fmt: skip
        row_id = str(uuid5(user_id, str(title_id)))
        rated_at = line.get("created_at") or None
        content = {"id": row_id, "rating": int(line["rating"]), "source": line["source"]}
        if rated_at:
            content |= {"created_at": rated_at, "updated_at": rated_at}
        yield {
            "type": "row", "source": RATINGS, "row_id": row_id, "user_id": str(user_id),
            "title_id": titles[title_id], "content": content, "changed_at": rated_at,
        }  # fmt: skip


def _unusable(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} can't be imported, nothing was changed", why=why, next_step=ADVICE,
        code="unusable_file",
    )  # fmt: skip
