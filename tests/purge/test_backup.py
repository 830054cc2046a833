"""The backup that a purge makes first, and what it is good for."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.cli import Outcome, run_cli
from tests.purge.contents import read_contents
from tests.purge.purging import CONFIRMED, PHRASE, purge, try_purge
from tests.terminal import run_at_terminal, words_of


@pytest.mark.parametrize("what", ["movies", "everything"])
def test_the_backup_undoes_the_purge(
    what: str, sample_database: Callable[[], str], tmp_path: Path
) -> None:
    database = sample_database()
    before = read_contents(database)
    purged = run_cli(
        "purge", "--what", what, "--dir", str(tmp_path), "--confirm", PHRASE, conninfo=database
    )
    assert purged.code == 0, purged.err
    assert read_contents(database)["movies"] == []
    undo = purged.out.splitlines()[-1].split()
    assert undo[:2] == ["aperture-db", "restore"]
    assert Path(undo[2]).name.startswith("aperture_before_purge_")
    restored = run_cli(*undo[1:], "--no-safety-backup", "--confirm", PHRASE, conninfo=database)
    assert restored.code == 0, restored.err
    assert read_contents(database) == before


def test_the_line_that_undoes_it_works_as_it_is_printed(
    sample_database: Callable[[], str], tmp_path: Path
) -> None:
    """Copied whole: a path that needs quotes, and the database that the option had named."""
    database = sample_database()
    before = read_contents(database)
    backups = tmp_path / "it's here"
    backups.mkdir()
    env_file = tmp_path / "my database.env"
    env_file.write_text(f"DATABASE_URL={database}\n")
    named = ("--env-file", str(env_file), "--dir", str(backups))
    planned = run_cli("purge", "--what", "movies", "--dry-run", *named)
    assert planned.code == 0, planned.err
    purged = run_pasted(planned.out.splitlines()[-1])
    assert purged.code == 0, purged.err
    undone = run_pasted(purged.out.splitlines()[-1])
    assert undone.code == 0, undone.err
    assert read_contents(database) == before
    redone = run_pasted(undone.out.splitlines()[-1])
    assert redone.code == 0, redone.err
    assert read_contents(database)["movies"] == []


def run_pasted(line: str) -> Outcome:
    """Run a printed command, confirmed."""
    program, *words = shlex.split(line)
    assert program == "aperture-db"
    return run_cli(*words, "--confirm", PHRASE)


def test_without_a_place_for_the_backup_nothing_is_asked_or_done(
    sample_database: Callable[[], str], tmp_path: Path
) -> None:
    database = sample_database()
    before = read_contents(database)
    missing = tmp_path / "missing"
    outcome = try_purge(database, "--what", "ratings", "--dir", str(missing), "--confirm", PHRASE)
    assert outcome.code == 2
    assert outcome.envelope["error"]["code"] == "no_directory"
    assert read_contents(database) == before


def test_a_directory_that_takes_no_file_is_told_before_the_question(
    sample_database: Callable[[], str],
) -> None:
    outcome = try_purge(sample_database(), "--what", "ratings", "--dir", "/proc")
    assert outcome.code == 1, "not 4, which would be: nobody has confirmed it"
    assert "/proc" in outcome.envelope["error"]["message"]
    assert outcome.envelope["error"]["next"].endswith("or purge without a backup: --no-backup")


def test_the_question_says_where_the_backup_goes(
    sample_database: Callable[[], str], tmp_path: Path
) -> None:
    code, shown = run_at_terminal(
        "purge", "--what", "ratings", "--dir", str(tmp_path),
        conninfo=sample_database(), typed="no\n",
    )  # fmt: skip
    assert code == 4
    assert f"The database will be backed up to {tmp_path} first." in words_of(shown)
    assert list(tmp_path.iterdir()) == []


def test_a_pooler_that_allows_no_backup_is_told_before_the_question(
    sample_database: Callable[[], str], pgbouncer_conninfo: Callable[[str], str], tmp_path: Path
) -> None:
    pooled = pgbouncer_conninfo(sample_database())
    outcome = try_purge(pooled, "--what", "ratings", "--dir", str(tmp_path), "--confirm", "no")
    assert outcome.code == 2
    assert outcome.envelope["error"]["code"] == "pooler"
    assert outcome.envelope["error"]["next"].endswith("--no-backup")


@pytest.mark.parametrize("what", ["ratings", "movies", "everything"])
def test_ratings_are_saved_by_ids_that_last(
    what: str, sample_database: Callable[[], str], tmp_path: Path
) -> None:
    database = sample_database()
    with psycopg.connect(database) as conn:
        expected = conn.execute(
            "SELECT username, rating::text, source, title, coalesce(imdb_id, '') FROM ("
            "SELECT user_id, rating, source, title, imdb_id FROM user_ratings AS r "
            "JOIN movies AS m ON m.id = movie_id "
            "UNION ALL SELECT user_id, rating, source, title, imdb_id FROM user_ratings AS r "
            "JOIN series AS s ON s.id = series_id WHERE %s <> 'movies'"
            ") AS r JOIN users AS u ON u.id = user_id",
            [what],
        ).fetchall()
    file = tmp_path / "ratings.csv"
    data = purge(database, "--what", what, "--export-ratings", str(file))
    assert data["ratings_file"] == str(file)
    assert file.stat().st_mode & 0o777 == 0o600
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = ("username", "rating", "source", "title", "imdb_id")
    assert sorted(tuple(row[name] for name in columns) for row in rows) == sorted(expected)


def test_ratings_never_replace_a_file(sample_database: Callable[[], str], tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text("precious")
    outcome = try_purge(
        sample_database(), "--what", "ratings", *CONFIRMED, "--export-ratings", str(file)
    )
    assert outcome.code == 2
    assert outcome.envelope["error"]["code"] == "unusable_file"
    assert file.read_text() == "precious"
