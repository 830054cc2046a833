"""Carries what is kept to another database: JSON Lines, or the CSV of `purge --export-ratings`."""

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
from aperture_db.aperture.kinds import Media
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.postgres.session import Connection
from aperture_db.relink.keep import create_kept_tables
from aperture_db.relink.kept import RATINGS, require_kept_tables
from aperture_db.safe_files import new_file

FORMAT = "aperture-db kept data"
VERSION = 1
BATCH = 1_000
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
        conn.execute(queries.load("relink/import_users"), {"users": json.dumps(batch)})
    kept_ids: dict[int, int] = {}
    is_same = sql.SQL(queries.load("relink/is_same_title")).format(kind=sql.SQL("t.kind"))
    for batch in _batches(found["title"]):
        titles = {"titles": json.dumps(batch)}
        add = sql.SQL(queries.load("relink/import_titles")).format(is_same=is_same)
        conn.execute(add, titles)
        find = sql.SQL(queries.load("relink/find_imported")).format(is_same=is_same)
        kept_ids |= dict(conn.execute(find, titles).fetchall())
    rows = [row | {"title_id": kept_ids.get(row["title_id"])} for row in found["row"]]
    new_rows = 0
    for batch in _batches(rows):
        statement = queries.load("relink/import_rows")
        new_rows += conn.execute(statement, {"rows": json.dumps(batch)}).rowcount
    counts = (len(found["user"]), len(found["title"]), len(found["row"]))
    return Transfer(str(path.absolute()), *counts, new_rows)


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def _batches(records: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    return (records[start : start + BATCH] for start in range(0, len(records), BATCH))


def _read(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
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
