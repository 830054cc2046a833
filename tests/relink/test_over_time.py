"""What happens between a purge and its relink, and after it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aperture_db import safe_files
from aperture_db.aperture import Media
from aperture_db.relink import transfer as kept_data
from tests.program import run_inside
from tests.purge.purging import PHRASE, purge, try_purge
from tests.relink.made import expected_after, plan_of, relink, states_of, user_made
from tests.relink.resync import Conn, Snapshot, insert_titles, resync, take_snapshot

CONFIRM = ("--confirm", PHRASE)
RATED = (
    "SELECT u.username, m.title, r.rating FROM user_ratings AS r "
    "JOIN users AS u ON u.id = r.user_id JOIN movies AS m ON m.id = r.movie_id"
)


def ratings(conn: Conn) -> int:
    row = conn.execute("SELECT count(*) FROM user_ratings").fetchone()
    assert row is not None
    return int(row[0])


def rated(conn: Conn) -> set[Any]:
    found = conn.execute("SELECT movie_id FROM user_ratings WHERE movie_id IS NOT NULL")
    return {row[0] for row in found}


def keep(database: str) -> None:
    done = run_inside("relink", "--keep", database=database)
    assert done.code == 0, done.err


def test_a_second_purge_before_relink(conn: Conn, database: str) -> None:
    snapshot = take_snapshot(conn)
    before = user_made(conn)
    purge(database, "--what", "content")
    first = resync(conn, snapshot, seed=1)
    user = conn.execute(
        "SELECT u.id FROM users AS u WHERE NOT EXISTS (SELECT FROM aperture_db.kept_rows AS r "
        "WHERE r.user_id = u.id AND source = 'user_ratings') LIMIT 1"
    ).fetchone()
    assert user is not None
    film = snapshot.rows[Media.MOVIE][0]["id"]
    conn.execute(
        "INSERT INTO user_ratings (user_id, movie_id, rating) VALUES (%s, %s, 10)",
        [user[0], first[film]],
    )
    purge(database, "--what", "content")
    second = resync(conn, snapshot, seed=2)
    relink(database)
    made, expected = user_made(conn), expected_after(before, second)
    for table in ("channels", "graph_playlists", "assistant_messages"):
        assert made[table] == expected[table], table
    kept = {row["id"] for row in expected["user_ratings"]}
    assert [row for row in made["user_ratings"] if row["id"] in kept] == expected["user_ratings"]
    (new,) = (row for row in made["user_ratings"] if row["id"] not in kept)
    assert (new["user_id"], new["movie_id"]) == (str(user[0]), str(second[film]))


def test_a_title_that_changed_between_two_purges_is_followed(conn: Conn, database: str) -> None:
    """Its first identity finds nothing any more; the one it had at the second purge does."""
    user = conn.execute("SELECT id FROM users LIMIT 1").fetchone()
    assert user is not None
    identities = (
        ("Sanjuro!", 1962, "tt9300001", None),
        ("Tsubaki!", 1963, "tt9300001", "9300"),
        ("Camellia!", 1963, None, "9300"),
    )
    new: Any = None
    for number, identity in enumerate(identities):
        new = conn.execute(
            "INSERT INTO movies (title, year, imdb_id, tmdb_id, provider_item_id) "
            "VALUES (%s, %s, %s, %s, %s) RETURNING id",
            [*identity, f"item {number}"],
        ).fetchone()
        if number == 0:
            conn.execute(
                "INSERT INTO user_ratings (user_id, movie_id, rating) VALUES (%s, %s, 7)",
                [user[0], new[0]],
            )
        if number < 2:
            purge(database, "--what", "movies")
    relink(database)
    found = conn.execute("SELECT rating FROM user_ratings WHERE movie_id = %s", [new[0]])
    assert found.fetchall() == [(7,)]


def test_an_older_database_with_the_old_ids(conn: Conn, database: str) -> None:
    """After the restore of an older dump the old ids are there again: titles match themselves."""
    snapshot = take_snapshot(conn)
    columns = "id, created_at, updated_at, user_id, movie_id, series_id, rating, source"
    query = f"SELECT {columns} FROM user_ratings WHERE movie_id IS NOT NULL"
    rows = conn.execute(query).fetchall()
    purge(database, "--what", "movies")
    insert_titles(conn, Media.MOVIE, snapshot.rows[Media.MOVIE])
    with conn.cursor() as cursor:
        values = ", ".join(["%s"] * 8)
        cursor.executemany(f"INSERT INTO user_ratings ({columns}) VALUES ({values})", rows[1:])
    plan = plan_of(database)
    assert plan["titles"][0]["matched"] == {"same id": len(snapshot.rows[Media.MOVIE])}
    done = relink(database)
    assert done["put_back"]["user_ratings"] == 1
    assert done["already_there"] == {}
    assert sorted(conn.execute(query).fetchall(), key=str) == sorted(rows, key=str)


def test_rows_of_a_removed_user_wait(conn: Conn, database: str) -> None:
    snapshot = take_snapshot(conn)
    user = conn.execute(
        "SELECT u.id, u.provider, u.provider_user_id, u.username, count(*) FROM users AS u "
        "JOIN user_ratings AS r ON r.user_id = u.id WHERE movie_id IS NOT NULL "
        "GROUP BY u.id ORDER BY count(*) LIMIT 1"
    ).fetchone()
    assert user is not None
    purge(database, "--what", "movies")
    resync(conn, snapshot, seed=1, media=(Media.MOVIE,))
    conn.execute("DELETE FROM users WHERE id = %s", [user[0]])
    conn.execute(
        "INSERT INTO users (provider, provider_user_id, username) VALUES (%s, 'another', %s)",
        [user[1], user[3]],
    )
    relink(database)
    assert states_of(plan_of(database), "user_ratings") == {"user missing": user[4]}
    conn.execute(
        "INSERT INTO users (provider, provider_user_id, username) VALUES (%s, %s, 'Renamed')",
        [user[1], user[2]],
    )
    assert relink(database)["put_back"] == {"user_ratings": user[4]}


def test_a_rating_deleted_after_relink_stays_deleted(conn: Conn, database: str) -> None:
    snapshot = take_snapshot(conn)
    purge(database, "--what", "content")
    resync(conn, snapshot, seed=1)
    relink(database)
    there = ratings(conn)
    conn.execute("DELETE FROM user_ratings WHERE id IN (SELECT id FROM user_ratings LIMIT 3)")
    relink(database)
    assert ratings(conn) == there - 3
    keep(database)
    relink(database)
    assert ratings(conn) == there - 3


def test_keep_brings_back_what_a_clean_up_deleted(conn: Conn, database: str) -> None:
    snapshot = take_snapshot(conn)
    before = user_made(conn)
    keep(database)
    assert user_made(conn) == before
    assert plan_of(database)["ready_rows"] == 0
    lost = [row for row in snapshot.rows[Media.MOVIE] if row["id"] in rated(conn)][:5]
    conn.execute("DELETE FROM movies WHERE id = ANY (%s)", [[row["id"] for row in lost]])
    assert ratings(conn) < len(before["user_ratings"])
    assert plan_of(database)["waiting_rows"] > 0
    new_ids = resync(conn, Snapshot({Media.MOVIE: lost}), seed=1, media=(Media.MOVIE,))
    relink(database)
    assert user_made(conn) == expected_after(before, new_ids)


def test_keep_forgets_what_users_delete(conn: Conn, database: str) -> None:
    """A rating deleted by its user does not come back, even if its film goes and returns later."""
    snapshot = take_snapshot(conn)
    keep(database)
    film = next(iter(rated(conn)))
    conn.execute("DELETE FROM user_ratings WHERE movie_id = %s", [film])
    keep(database)
    conn.execute("DELETE FROM movies WHERE id = %s", [film])
    (row,) = (row for row in snapshot.rows[Media.MOVIE] if row["id"] == film)
    new_ids = resync(conn, Snapshot({Media.MOVIE: [row]}), seed=1, media=(Media.MOVIE,))
    there = ratings(conn)
    relink(database)
    assert ratings(conn) == there
    assert new_ids[film] not in rated(conn)


def test_a_reused_item_id_does_not_take_the_rating(conn: Conn, database: str) -> None:
    """Kept before a rebuild of the server, whose sync overwrites the row with another film."""
    film = conn.execute(
        "SELECT m.id, m.title, m.year, m.imdb_id FROM movies AS m "
        "JOIN user_ratings AS r ON r.movie_id = m.id LIMIT 1"
    ).fetchone()
    assert film is not None
    keep(database)
    conn.execute(
        "UPDATE movies SET title = 'Brazil!', year = 1985, imdb_id = 'tt9400001', tmdb_id = '94', "
        "path = '/brazil' WHERE id = %s",
        [film[0]],
    )
    purge(database, "--what", "movies")
    insert = (
        "INSERT INTO movies (title, year, imdb_id, provider_item_id) VALUES (%s, %s, %s, %s) "
        "RETURNING id"
    )
    right = conn.execute(insert, [*film[1:], "new 1"]).fetchone()
    wrong = conn.execute(insert, ["Brazil!", 1985, "tt9400001", "new 2"]).fetchone()
    assert right is not None
    assert wrong is not None
    relink(database)
    assert right[0] in rated(conn)
    assert wrong[0] not in rated(conn)


def test_purged_ratings_do_not_come_back(conn: Conn, database: str) -> None:
    snapshot = take_snapshot(conn)
    purge(database, "--what", "movies")
    resync(conn, snapshot, seed=1, media=(Media.MOVIE,))
    purge(database, "--what", "ratings")
    relink(database)
    assert ratings(conn) == 0


def test_everything_does_not_lose_what_waits(conn: Conn, database: str) -> None:
    purge(database, "--what", "movies")
    refused = try_purge(database, "--what", "everything", "--no-backup", *CONFIRM)
    assert refused.code == 1
    assert refused.envelope["error"]["code"] == "kept_data"
    assert conn.execute("SELECT count(*) > 0 FROM users").fetchone() == (True,)
    data = purge(database, "--what", "everything", "--include-kept")
    assert "rows kept for relink" in [loss["what"] for loss in data["plan"]["losses"]]
    assert conn.execute("SELECT to_regclass('aperture_db.kept_rows')").fetchone() == (None,)


@pytest.mark.parametrize("is_csv", [True, False], ids=["csv", "json lines"])
def test_carried_to_another_database(
    is_csv: bool,
    conn: Conn,
    database: str,
    aperture_database: Callable[[], str],
    tmp_path: Path,
) -> None:
    snapshot = take_snapshot(conn)
    before = {(name.casefold(), *rest) for name, *rest in conn.execute(RATED)}
    names = [row[0] for row in conn.execute("SELECT username FROM users")]
    file = tmp_path / "kept"
    if is_csv:
        purge(database, "--what", "movies", "--export-ratings", str(file))
    else:
        keep(database)
        exported = run_inside("relink", "--export", str(file), database=database)
        assert exported.code == 0, exported.err
    assert file.stat().st_mode & 0o777 == 0o600
    elsewhere = aperture_database()
    with psycopg.connect(elsewhere, autocommit=True) as other:
        for name in names:
            other.execute(
                "INSERT INTO users (provider, provider_user_id, username) "
                "VALUES ('jellyfin', gen_random_uuid()::text, %s)",
                [name.upper()],
            )
        for _ in range(2):
            read = run_inside("relink", "--import", str(file), "--json", database=elsewhere)
            assert read.code == 0, read.err
        assert read.envelope["data"]["new_rows"] == 0
        resync(other, snapshot, seed=5)
        relink(elsewhere)
        now = {(name.casefold(), *rest) for name, *rest in other.execute(RATED)}
    assert now == before


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"type": "header", "format": "x"}'])
def test_other_files_are_refused(text: str, database: str, tmp_path: Path) -> None:
    file = tmp_path / "other"
    file.write_text(text)
    done = run_inside("relink", "--import", str(file), database=database)
    assert done.code == 2
    assert "nothing was changed" in done.err


@pytest.mark.parametrize("kind", ["device", "fifo", "larger than any"])
def test_what_has_no_end_is_refused(
    kind: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_files, "WAIT_SECONDS", 1)
    file = tmp_path / "other"
    match kind:
        case "device":
            file.symlink_to("/dev/zero")
        case "fifo":
            os.mkfifo(file)
        case _:
            monkeypatch.setattr(kept_data, "MOST_IMPORTED_BYTES", 1 << 20)
            with file.open("wb") as opened:
                opened.truncate(1 << 40)
    done = run_inside("relink", "--import", str(file), database=database)
    assert done.code == 2
    assert "nothing was changed" in done.err


def test_forgetting_needs_a_confirmation(conn: Conn, database: str) -> None:
    purge(database, "--what", "movies")
    assert run_inside("relink", "--forget", database=database).code == 4
    assert run_inside("relink", "--forget", *CONFIRM, database=database).code == 0
    assert conn.execute("SELECT to_regclass('aperture_db.kept_rows')").fetchone() == (None,)
