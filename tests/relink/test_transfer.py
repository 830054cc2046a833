"""Files of kept data and of ratings: whole, edited, cut, and of other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli import Outcome
from tests.program import run_inside
from tests.purge.purging import purge
from tests.relink.made import relink
from tests.relink.resync import Conn

HEADER = "username,rating,source,created_at,media_type,title,year,imdb_id,tmdb_id,tvdb_id"
GOOD = "maria,8,manual,2025-12-31 18:00:00+00,movie,Dune,2021,tt1160419,438631,"


def import_file(path: Path, database: str, *options: str) -> Outcome:
    return run_inside("relink", "--import", str(path), *options, database=database)


def kept_rows(conn: Conn) -> int:
    row = conn.execute("SELECT to_regclass('aperture_db.kept_rows') IS NOT NULL").fetchone()
    if row != (True,):
        return 0
    count = conn.execute("SELECT count(*) FROM aperture_db.kept_rows").fetchone()
    assert count is not None
    return int(count[0])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("maria,11,manual,,movie,Dune,2021,,,", "rating is not a number from 1 to 10"),
        ("maria,0,manual,,movie,Dune,2021,,,", "rating is not a number from 1 to 10"),
        ("maria,9.5,manual,,movie,Dune,2021,,,", "rating is not a whole number"),
        ("maria,,manual,,movie,Dune,2021,,,", "rating is missing"),
        ("maria,abc,manual,,movie,Dune,2021,,,", "rating is not a whole number"),
        ("maria,nan,manual,,movie,Dune,2021,,,", "rating is not a whole number"),
        ("maria,8,emby,,movie,Dune,2021,,,", "source is not manual or trakt"),
        ("maria,8,manual,,film,Dune,2021,,,", "media_type is not movie or series"),
        ("maria,8,manual,,episode,Dune,2021,,,", "media_type is not movie or series"),
        ("maria,8,manual,,movie,Dune,MMXXI,,,", "year is not a whole number"),
        (",8,manual,,movie,Dune,2021,,,", "username is missing"),
        ("maria,8,manual,31.12.2025,movie,Dune,2021,,,", "created_at is not a time"),
        ("maria,8,manual,,movie", "title is missing"),
        ("maria,8,manual,,movie,Dune,2021,,,,,,extra", "it has more fields than the first line"),
    ],
)
def test_a_line_of_ratings_that_can_not_be_used_is_named(
    line: str, reason: str, conn: Conn, database: str, tmp_path: Path
) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text("\n".join([HEADER, GOOD, line, GOOD, ""]))
    before = kept_rows(conn)
    outcome = import_file(file, database)
    assert outcome.code == 2, outcome.err
    assert f"line 3: {reason}" in outcome.err
    assert kept_rows(conn) == before


@pytest.mark.parametrize(
    "write",
    [
        lambda lines: "\ufeff" + "\n".join(lines),
        lambda lines: "\r\n".join(lines),
        lambda lines: "\n".join(line.replace(",", ";") for line in lines),
        lambda lines: "\n".join(line.replace(",", "\t") for line in lines),
        lambda lines: "".join('"' + line.replace(",", '","') + '"\n' for line in lines[:-1]),
        lambda lines: "\n".join([*lines[:-1], ",,,,,,,,,", ""]),
        lambda lines: "\n".join(line.replace(",8,", ",8.0,").replace(",2021,", ",2021.0,")
                                for line in lines),
        lambda lines: "\n".join(line.replace(",movie,", ",Movie,") for line in lines),
    ],
    ids=["mark", "crlf", "semicolons", "tabs", "quoted", "empty line", "decimals", "capital"],
)  # fmt: skip
def test_ratings_as_spreadsheets_write_them(
    write: Callable[[list[str]], str], conn: Conn, database: str, tmp_path: Path
) -> None:
    file = tmp_path / "ratings.csv"
    file.write_bytes(write([HEADER, GOOD, ""]).encode())
    outcome = import_file(file, database, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.envelope["data"]["rows"] == 1
    content = conn.execute(
        "SELECT content FROM aperture_db.kept_rows WHERE origin = 'import'"
    ).fetchone()
    assert content is not None
    assert content[0]["rating"] == 8


def exported(database: str, tmp_path: Path) -> Path:
    file = tmp_path / "kept.jsonl"
    purge(database, "--what", "content")
    assert run_inside("relink", "--export", str(file), database=database).code == 0
    return file


def test_a_cut_file_is_refused_wherever_it_was_cut(
    database: str, other: str, tmp_path: Path
) -> None:
    text = exported(database, tmp_path).read_text()
    lines = text.splitlines(keepends=True)
    for kept in ("", lines[0], "".join(lines[:2]), "".join(lines[:-1]), text[:-1], text[:-30],
                 "".join([*lines[:5], *lines[6:]])):  # fmt: skip
        file = tmp_path / "cut.jsonl"
        file.write_text(kept)
        outcome = import_file(file, other)
        assert outcome.code == 2
        assert "can't be imported, nothing was changed" in outcome.err


def edit(text: str, of_type: str, /, **changes: Any) -> str:
    """The file with changes in the first record of a kind."""
    lines = text.split("\n")
    number = next(n for n, line in enumerate(lines) if f'"type": "{of_type}"' in line)
    lines[number] = json.dumps(json.loads(lines[number]) | changes)
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("row", {"source": "pg_authid"}, "source is not a table of Aperture"),
        ("row", {"row_id": "1"}, "row_id is not an id"),
        ("row", {"user_id": "00000000-0000-0000-0000-000000000000"}, "user_id names no user"),
        ("row", {"title_id": 10**9}, "title_id names no title"),
        ("row", {"content": []}, "content is not an object"),
        ("row", {"changed_at": "yesterday"}, "changed_at is not a time"),
        ("title", {"kind": "tv"}, "kind is not movie or series or episode"),
        ("title", {"year": "x"}, "year is not a whole number"),
        ("title", {"old_id": None}, "old_id is missing"),
        ("user", {"username": None}, "username is missing"),
    ],
)
def test_a_record_that_can_not_be_used_is_named(
    kind: str, changes: dict[str, Any], reason: str, database: str, other: str, tmp_path: Path
) -> None:
    file = exported(database, tmp_path)
    file.write_text(edit(file.read_text(), kind, **changes))
    outcome = import_file(file, other)
    assert outcome.code == 2, outcome.err
    assert reason in outcome.err


def test_other_files_are_refused(database: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content in (b"[" * 100_000 + b"\n", b"{}\n", b"null\n", b"\xff\n", b"a,b\n1,2\n", b"\n"):
        file.write_bytes(content)
        outcome = import_file(file, database)
        assert outcome.code == 2, content[:20]
        assert "can't be imported, nothing was changed" in outcome.err


def test_titles_with_every_kind_of_line_end_travel(
    conn: Conn, database: str, other: str, tmp_path: Path
) -> None:
    title = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\rh\ni"
    conn.execute(
        "UPDATE movies SET title = %s WHERE id = (SELECT movie_id FROM user_ratings "
        "WHERE movie_id IS NOT NULL LIMIT 1)",
        [title],
    )
    outcome = import_file(exported(database, tmp_path), other)
    assert outcome.code == 0, outcome.err


def test_ratings_can_be_exported_and_imported_again_and_again(
    conn: Conn, database: str, tmp_path: Path
) -> None:
    count = "SELECT count(*) FROM user_ratings"
    before = conn.execute(count).fetchone()
    for number in range(3):
        file = tmp_path / f"{number}.csv"
        purge(database, "--what", "ratings", "--export-ratings", str(file))
        assert conn.execute(count).fetchone() == (0,)
        assert import_file(file, database).code == 0
        relink(database)
        assert conn.execute(count).fetchone() == before


@pytest.fixture
def other(sample_database: Callable[[], str]) -> str:
    return sample_database()
