"""Carries what is kept to another database: as JSON Lines, or by the CSV of
`purge --export-ratings`.

Every record is checked before anything is kept: people edit these files, and copies break off.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.aperture.kinds import Media
from aperture_db.aperture.tables import table_named
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.new_files import new_file
from aperture_db.postgres.session import Connection
from aperture_db.relink.keep import create_kept_tables
from aperture_db.relink.kept import RATINGS, require_kept_tables
from aperture_db.safe_files import read_input_text

FORMAT = "aperture-db kept data"
VERSION = 2
BATCH = 1_000
# A library of 200,000 films with as many series fits.
MOST_IMPORTED_BYTES = 1 << 30
CSV_COLUMNS = frozenset({"username", "rating", "source", "media_type", "title", "year"})
# Spreadsheets write what their country is used to.
DELIMITERS = ",;\t"
RATED = (Media.MOVIE, Media.SERIES)
# As user_ratings demands: user_ratings_rating_check, user_ratings_source_check.
LOWEST, HIGHEST = 1, 10
RATING_SOURCES = ("manual", "trakt")
ADVICE = "give a file of relink --export or of purge --export-ratings"
Record = dict[str, Any]


@dataclass(frozen=True)
class Transfer:
    """What was written to a file, or read from one."""

    file: str
    users: int
    titles: int
    rows: int
    new_rows: int | None = None
    """Of an import: those that were not kept here already."""
    again_rows: int | None = None
    """Of an import: those that were put back or purged here before, and wait again."""


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
            writer.write(_line({"type": "end"} | counts))
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

    Rows that wait here already are left alone; those that were put back or purged wait again.
    Raises UsageError, with the line, for a file of which anything can't be used.
    """
    found: dict[str, list[Record]] = {"user": [], "title": [], "row": []}
    for record in _read(path):
        found[record["type"]].append(record)
    if create_kept_tables(conn):
        conn.execute(queries.load("relink/create_indexes"))
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
    is_new = [
        row[0]
        for batch in _batches(rows)
        for row in conn.execute(queries.load("relink/import_rows"), {"rows": _as_json(batch)})
    ]
    counts = (len(found["user"]), len(found["title"]), len(found["row"]))
    return Transfer(str(path.absolute()), *counts, sum(is_new), len(is_new) - sum(is_new))


def _line(record: Record) -> bytes:
    # A byte that is no UTF-8 becomes \\udcXX, which JSON reads as what Python made of it.
    return json.dumps(record, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def _as_json(batch: list[Record]) -> str:
    """Without \\u escapes: only UTF8 databases take those of every letter."""
    return json.dumps(batch, ensure_ascii=False)


def _batches(records: list[Record]) -> Iterator[list[Record]]:
    return (records[start : start + BATCH] for start in range(0, len(records), BATCH))


def _read(path: Path) -> Iterator[Record]:
    try:
        text = read_input_text(path, MOST_IMPORTED_BYTES)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _unusable(path, "it is not a text in UTF-8") from error
    if not text:
        raise _unusable(path, "it is empty")
    if not text.endswith("\n"):
        raise _unusable(
            path, "its last line has no end: the file was cut, or a line break is missing"
        )
    first = text.partition("\n")[0]
    delimiter = next((each for each in DELIMITERS if _header(first, each) >= CSV_COLUMNS), None)
    records = _records(text) if delimiter is None else _ratings(text, delimiter)
    try:
        yield from records
    except _BadRecordError as error:
        raise _unusable(path, f"line {error.line_number}: {error}") from error


def _header(line: str, delimiter: str) -> set[str]:
    return set(next(csv.reader([line.strip()], delimiter=delimiter), []))


class _BadRecordError(Exception):
    """Something in a line that can't be kept."""

    def __init__(self, line_number: int, reason: str) -> None:
        super().__init__(reason)
        self.line_number = line_number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is not a text")
    return value


def _filled(value: object) -> str:
    if not _text(value).strip():
        raise ValueError("is empty")
    return _text(value)


def _uuid(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is not an id")
    try:
        return str(UUID(value))
    except ValueError:
        raise ValueError("is not an id") from None


def _integer(value: object) -> int:
    """A whole number, also as spreadsheets write it: 7.0."""
    try:
        number = float(value) if isinstance(value, (int, float, str)) else None
    except ValueError:
        number = None
    if isinstance(value, bool) or number is None or not number.is_integer():
        raise ValueError("is not a whole number")
    if abs(number) > 1 << 31:
        raise ValueError("is too large")
    return int(number)


def _rating(value: object) -> int:
    rating = _integer(value)
    if not LOWEST <= rating <= HIGHEST:
        raise ValueError(f"is not a number from {LOWEST} to {HIGHEST}")
    return rating


def _time(value: object) -> str:
    try:
        return datetime.fromisoformat(_text(value)).isoformat()
    except ValueError:
        raise ValueError("is not a time like 2025-12-31 18:00:00+00") from None


def _date(value: object) -> str:
    try:
        return date.fromisoformat(_text(value)).isoformat()
    except ValueError:
        raise ValueError("is not a date like 2025-12-31") from None


def _one_of(*words: str) -> Callable[[object], str]:
    def choose(value: object) -> str:
        word = _text(value).lower()
        if word not in words:
            raise ValueError(f"is not {' or '.join(words)}")
        return word

    return choose


def _table(value: object) -> str:
    name = _text(value)
    if table_named(name) is None:
        raise ValueError("is not a table of Aperture")
    return name


def _object(value: object) -> Record:
    if not isinstance(value, dict):
        raise ValueError("is not an object")
    return value


Check = Callable[[object], object]
# By the kind of record: what has to be there, and what may be null or missing.
REQUIRED: Mapping[str, Mapping[str, Check]] = {
    "user": {"user_id": _uuid, "username": _text},
    "title": {"id": _integer, "old_id": _uuid, "kind": _one_of(*Media), "title": _text},
    "row": {"source": _table, "row_id": _uuid, "user_id": _uuid, "content": _object},
}
OPTIONAL: Mapping[str, Mapping[str, Check]] = {
    "user": {"provider": _text, "provider_user_id": _text},
    "title": {
        "year": _integer, "original_title": _text, "imdb_id": _text, "tmdb_id": _text,
        "tvdb_id": _text, "path": _text, "item_id": _text, "server": _text, "series_id": _uuid,
        "season": _integer, "episode": _integer, "premiere_date": _date, "kept_at": _time,
    },
    "row": {"title_id": _integer, "changed_at": _time},
}  # fmt: skip


def _checked(kind: str, record: Mapping[str, object], line_number: int) -> Record:
    """The record with values of the right types. Raises _BadRecordError."""
    checked: Record = {"type": kind}
    for checks in (REQUIRED[kind], OPTIONAL[kind]):
        for name, check in checks.items():
            value = record.get(name)
            if checks is OPTIONAL[kind] and (value is None or value == ""):
                checked[name] = None
                continue
            checked[name] = _value(name, check, value, line_number)
    if kind == "row" and checked["source"] == RATINGS:
        _value("rating", _rating, checked["content"].get("rating"), line_number)
    return checked


def _value(name: str, check: Check, value: object, line_number: int) -> object:
    try:
        return check(value)
    except ValueError as error:
        missing = value is None or value == ""
        raise _BadRecordError(
            line_number, f"{name} {'is missing' if missing else error}"
        ) from error


def _records(text: str) -> Iterator[Record]:
    counts = {"user": 0, "title": 0, "row": 0}
    known: dict[str, set[object]] = {"user": set(), "title": set()}
    is_complete = False
    # Only a line feed ends a line: titles may hold the other characters that separate lines.
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        try:
            record = json.loads(line)
            kind = record["type"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise _BadRecordError(number, "it is not a record of kept data") from None
        if number == 1 and (record.get("format"), record.get("version")) != (FORMAT, VERSION):
            raise _BadRecordError(number, f"it does not begin kept data of version {VERSION}")
        if is_complete:
            raise _BadRecordError(number, "it stands behind the end of the data")
        if kind in counts:
            checked = _checked(kind, record, number)
            counts[kind] += 1
            if kind == "row":
                _require_known(checked, known, number)
            else:
                known[kind].add(checked["user_id" if kind == "user" else "id"])
            yield checked
        elif kind == "end":
            is_complete = True
            if {name: record.get(name) for name in counts} != counts:
                raise _BadRecordError(number, "lines are missing, or there are too many")
    if not is_complete:
        raise _BadRecordError(number, "the end of the data is missing: the file was cut")


def _require_known(row: Record, known: Mapping[str, set[object]], line_number: int) -> None:
    if row["user_id"] not in known["user"]:
        raise _BadRecordError(line_number, "user_id names no user of the file")
    if row["title_id"] is not None and row["title_id"] not in known["title"]:
        raise _BadRecordError(line_number, "title_id names no title of the file")


def _ratings(text: str, delimiter: str) -> Iterator[Record]:
    """Ratings as records of kept data. Their ids are made from what they say, so that importing
    a file twice adds nothing."""
    users: set[UUID] = set()
    titles: dict[UUID, int] = {}
    lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="")
    while True:
        try:
            line = next(lines, None)
        except csv.Error as error:
            raise _BadRecordError(lines.line_num, str(error)) from error
        if line is None:
            return
        number = lines.line_num
        if not any(line.values()):
            # Spreadsheets leave such lines at the end.
            continue
        if "" in line:
            raise _BadRecordError(number, "it has more fields than the first line")
        yield from _rating_records(line, number, users, titles)


def _rating_records(
    line: Mapping[str, str | None], number: int, users: set[UUID], titles: dict[UUID, int]
) -> Iterator[Record]:
    username = str(_value("username", _filled, line["username"], number))
    kind = str(_value("media_type", _one_of(*RATED), line["media_type"], number))
    rating = _value("rating", _rating, line["rating"], number)
    source = _value("source", _one_of(*RATING_SOURCES), line["source"], number)
    ids = {name: line.get(name) or None for name in ("imdb_id", "tmdb_id", "tvdb_id")}
    year = _value("year", _integer, line["year"], number) if line["year"] else None
    shown_year = str(year) if year is not None else ""
    key = [Media(kind), line["title"], shown_year, *ids.values()]
    user_id = uuid5(NAMESPACE_URL, f"aperture-db:user:{username}")
    title_id = uuid5(NAMESPACE_URL, f"aperture-db:title:{key}")
    if user_id not in users:
        users.add(user_id)
        yield _checked("user", {"user_id": str(user_id), "username": username}, number)
    if title_id not in titles:
        titles[title_id] = len(titles)
        title = {
            "id": titles[title_id], "old_id": str(title_id), "kind": kind, "title": line["title"],
            "year": year, "item_id": line.get("provider_item_id"), **ids,
        }  # fmt: skip
        yield _checked("title", title, number)
    row_id = str(uuid5(user_id, str(title_id)))
    rated_at = line.get("created_at")
    rated_at = str(_value("created_at", _time, rated_at, number)) if rated_at else None
    content = {"id": row_id, "rating": rating, "source": source}
    if rated_at:
        content |= {"created_at": rated_at, "updated_at": rated_at}
    row = {
        "source": RATINGS, "row_id": row_id, "user_id": str(user_id),
        "title_id": titles[title_id], "content": content, "changed_at": rated_at,
    }  # fmt: skip
    yield _checked("row", row, number)


def _unusable(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} can't be imported, nothing was changed", why=why, next_step=ADVICE,
        code="unusable_file",
    )  # fmt: skip
