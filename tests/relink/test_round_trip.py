"""A purge, the next sync and relink: everything that users made is as it was before."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from aperture_db.aperture import Media
from tests.program import run_inside
from tests.purge.purging import purge
from tests.relink.made import expected_after, plan_of, relink, states_of, user_made
from tests.relink.resync import (
    EVERYTHING,
    Conn,
    Snapshot,
    add_title,
    resync,
    take_snapshot,
)

TARGETS = {
    "movies": (Media.MOVIE,),
    "series": (Media.SERIES, Media.EPISODE),
    "content": EVERYTHING,
}


@pytest.mark.parametrize("lost_ids", [0.0, 0.33])
@pytest.mark.parametrize("target", TARGETS)
def test_everything_is_as_before(conn: Conn, database: str, target: str, lost_ids: float) -> None:
    snapshot = take_snapshot(conn)
    before = user_made(conn)
    kept = purge(database, "--what", target)["plan"]["user_data"]
    new_ids = resync(conn, snapshot, seed=1, media=TARGETS[target], lost_ids=lost_ids)
    done = relink(database)
    assert done["put_back"]["user_ratings"] == kept["rows"]["user_ratings"]
    expected = expected_after(before, new_ids)
    assert user_made(conn) == expected
    again = relink(database)
    assert (again["put_back"], again["updated"]) == ({}, {})
    assert user_made(conn) == expected


def test_a_partial_library_waits_and_completes(conn: Conn, database: str) -> None:
    snapshot = take_snapshot(conn)
    before = user_made(conn)
    purge(database, "--what", "content")
    first_half = Snapshot({Media.MOVIE: snapshot.rows[Media.MOVIE][::2]})
    new_ids = resync(conn, first_half, seed=1, media=(Media.MOVIE,))
    relink(database)
    plan = plan_of(database)
    assert plan["waiting_rows"] > 0
    assert {title["reason"] for title in plan["pending"]} == {"not found"}
    second_half = Snapshot(snapshot.rows | {Media.MOVIE: snapshot.rows[Media.MOVIE][1::2]})
    new_ids |= resync(conn, second_half, seed=2)
    relink(database)
    assert user_made(conn) == expected_after(before, new_ids)


def test_doubles_remakes_and_lost_ids(conn: Conn, database: str) -> None:
    """What waits afterwards is exactly what no rule can decide."""
    user = conn.execute("SELECT id FROM users ORDER BY username LIMIT 1").fetchone()
    assert user is not None
    own = {
        rated_film(conn, user[0], title="Nosferatu!", year=1922),
        rated_film(conn, user[0], title="Nosferatu!", year=2024),
        rated_film(conn, user[0], title="Aurora!", year=2010, imdb_id="tt9100001", path="/a/x"),
        rated_film(conn, user[0], title="Borealis!", year=2011, imdb_id="tt9100002"),
        rated_film(conn, user[0], title="Eclipse!", year=2012, imdb_id="tt9100003", tmdb_id="93"),
        rated_film(conn, user[0], title="Le Jour!", year=1998),
        rated_film(conn, user[0], title="Holiday!"),
    }
    snapshot = take_snapshot(conn)
    purge(database, "--what", "movies")
    others = [row for row in snapshot.rows[Media.MOVIE] if row["id"] not in own]
    resync(conn, Snapshot({Media.MOVIE: others}), seed=3, media=(Media.MOVIE,))
    film = Media.MOVIE
    remake = add_title(conn, film, title="NOSFERATU!", year=1922)
    newer = add_title(conn, film, title="nosferatu!", year=2024)
    aurora = {"title": "Aurora!", "year": 2010, "imdb_id": "tt9100001"}
    add_title(conn, film, **aurora, path="/b/x")
    doubled = add_title(conn, film, **aurora, path="/a/x")
    for _ in range(2):
        add_title(conn, film, title="Borealis!", year=2011, imdb_id="tt9100002")
    add_title(conn, film, title="Eclipse!", year=2012, imdb_id="tt9100009", tmdb_id="99")
    add_title(conn, film, title="The Day!", year=1998, imdb_id="tt9100004")
    add_title(conn, film, title="Holiday!", year=2006)
    relink(database)
    rated = dict(
        conn.execute("SELECT movie_id, rating FROM user_ratings WHERE user_id = %s", [user[0]])
    )
    assert {remake, newer, doubled} <= rated.keys()
    pending = {title["title"]: title["reason"] for title in plan_of(database)["pending"]}
    assert pending == {
        "Borealis! (2011)": "ambiguous",
        "Eclipse! (2012)": "contradicted",
        "Le Jour! (1998)": "not found",
        "Holiday!": "not found",
    }


def rated_film(conn: Conn, user: UUID, **columns: Any) -> UUID:
    """A film that the user has rated."""
    film = add_title(conn, Media.MOVIE, **columns)
    statement = "INSERT INTO user_ratings (user_id, movie_id, rating) VALUES (%s, %s, 9)"
    conn.execute(statement, [user, film])
    return film


def test_a_person_decides_what_no_rule_can(conn: Conn, database: str) -> None:
    user = conn.execute("SELECT id FROM users ORDER BY username LIMIT 1").fetchone()
    assert user is not None
    old = rated_film(conn, user[0], title="Le Jour!", year=1998)
    purge(database, "--what", "movies")
    new = add_title(conn, Media.MOVIE, title="The Day!", year=1998)
    shown = run_inside("relink", "--show", "pending", "--json", database=database).envelope
    assert str(old) in [title["old_id"] for title in shown["data"]["titles"]]
    wrong = run_inside("relink", "--match", f"{old}={uuid4()}", database=database)
    assert wrong.code == 2
    done = run_inside("relink", "--match", f"{old}={new}", database=database)
    assert (done.code, "Le Jour! (1998) is now The Day! (1998)" in done.out) == (0, True), done.err
    relink(database)
    rows = conn.execute("SELECT rating FROM user_ratings WHERE movie_id = %s", [new]).fetchall()
    assert rows == [(9,)]


def test_a_series_in_two_libraries_is_one(conn: Conn, database: str) -> None:
    """Aperture has one row for it, whose item id and library alternate."""
    snapshot = take_snapshot(conn)
    before = user_made(conn)
    purge(database, "--what", "series")
    new_ids = resync(conn, snapshot, seed=4, media=TARGETS["series"])
    conn.execute("UPDATE series SET provider_item_id = 'other-' || provider_item_id")
    relink(database)
    assert user_made(conn) == expected_after(before, new_ids)


def test_no_keep_keeps_nothing(conn: Conn, database: str) -> None:
    data = purge(database, "--what", "content", "--no-keep")
    assert data["plan"]["user_data"] is None
    assert conn.execute("SELECT to_regnamespace('aperture_db')").fetchone() == (None,)
    assert conn.execute(
        "SELECT count(*) FROM channels WHERE cardinality(example_movie_ids) > 0"
    ).fetchone() == (0,)


def test_the_profiles_of_users_with_ratings_are_rebuilt(conn: Conn, database: str) -> None:
    snapshot = take_snapshot(conn)
    purge(database, "--what", "movies")
    conn.execute("UPDATE user_taste_profiles SET auto_updated_at = now(), is_locked = false")
    conn.execute(
        "UPDATE user_taste_profiles SET is_locked = true WHERE id = "
        "(SELECT id FROM user_taste_profiles WHERE media_type = 'movie' ORDER BY id LIMIT 1)"
    )
    resync(conn, snapshot, seed=1, media=(Media.MOVIE,))
    assert relink(database)["aged_profiles"] > 0
    fresh = conn.execute(
        "SELECT count(*) FROM user_taste_profiles AS p WHERE auto_updated_at IS NOT NULL "
        "AND media_type = 'movie' AND NOT is_locked "
        "AND EXISTS (SELECT FROM user_ratings AS r WHERE r.user_id = p.user_id "
        "AND r.movie_id IS NOT NULL)"
    ).fetchone()
    assert fresh == (0,)
    assert conn.execute(
        "SELECT count(*) FROM user_taste_profiles WHERE auto_updated_at IS NULL "
        "AND (is_locked OR media_type = 'series')"
    ).fetchone() == (0,)


def test_two_old_titles_become_one_and_the_newest_rating_wins(conn: Conn, database: str) -> None:
    user = conn.execute("SELECT id FROM users ORDER BY username LIMIT 1").fetchone()
    assert user is not None
    films = [
        add_title(conn, Media.MOVIE, title=name, year=1999, imdb_id="tt9200001")
        for name in ("Twin!", "Twin! (UHD)")
    ]
    for film, rating, year in zip(films, (4, 8), (2020, 2024), strict=True):
        conn.execute(
            "INSERT INTO user_ratings (user_id, movie_id, rating, updated_at) "
            "VALUES (%s, %s, %s, make_timestamptz(%s, 1, 1, 0, 0, 0))",
            [user[0], film, rating, year],
        )
    channel = conn.execute(
        "UPDATE channels SET example_movie_ids = %s WHERE id = (SELECT id FROM channels LIMIT 1) "
        "RETURNING id", [films],
    ).fetchone()  # fmt: skip
    purge(database, "--what", "movies")
    new = add_title(conn, Media.MOVIE, title="Twin!", year=1999, imdb_id="tt9200001")
    relink(database)
    assert conn.execute(
        "SELECT rating FROM user_ratings WHERE movie_id = %s", [new]
    ).fetchall() == [(8,)]
    assert channel is not None
    assert conn.execute(
        "SELECT example_movie_ids FROM channels WHERE id = %s", [channel[0]]
    ).fetchone() == ([new],)


def test_a_rating_that_is_there_already_wins(conn: Conn, database: str) -> None:
    snapshot = take_snapshot(conn)
    purge(database, "--what", "movies")
    new_ids = resync(conn, snapshot, seed=1, media=(Media.MOVIE,))
    kept = conn.execute(
        "SELECT r.user_id, t.old_id FROM aperture_db.kept_rows AS r "
        "JOIN aperture_db.kept_titles AS t ON t.id = r.title_id WHERE r.source = 'user_ratings'"
    ).fetchall()
    user, old = kept[0]
    new = new_ids[old]
    conn.execute(
        "INSERT INTO user_ratings (user_id, movie_id, rating, source) VALUES (%s, %s, 1, 'trakt')",
        [user, new],
    )
    done = relink(database)
    assert done["already_there"] == {"user_ratings": 1}
    assert done["put_back"]["user_ratings"] == len(kept) - 1
    assert conn.execute(
        "SELECT rating FROM user_ratings WHERE user_id = %s AND movie_id = %s", [user, new]
    ).fetchall() == [(1,)]
    assert states_of(plan_of(database), "user_ratings") == {}
