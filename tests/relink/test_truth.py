"""What relink says of rows is what happens to them."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from aperture_db.aperture import Media
from tests.program import run_inside
from tests.purge.purging import purge
from tests.relink.made import plan_of, relink, states_of
from tests.relink.resync import Conn, add_title, insert_titles, resync, take_snapshot

RATINGS = "SELECT user_id, movie_id, rating FROM user_ratings WHERE movie_id IS NOT NULL"


def keep(database: str) -> None:
    outcome = run_inside("relink", "--keep", database=database)
    assert outcome.code == 0, outcome.err


def one_rating(conn: Conn) -> tuple[UUID, UUID]:
    """The user and the film of one rating."""
    row = conn.execute(f"{RATINGS} ORDER BY id LIMIT 1").fetchone()
    assert row is not None
    return row[0], row[1]


def overwrite(conn: Conn, film: UUID) -> UUID:
    """A sync after a rebuild of the server: another film takes the row, and this one a new row."""
    query = "SELECT title, year, imdb_id, tmdb_id FROM movies WHERE id = %s"
    row = conn.execute(query, [film]).fetchone()
    assert row is not None
    title, year, imdb_id, tmdb_id = row
    conn.execute(
        "UPDATE movies SET title = 'Completely Other', year = 1901, imdb_id = 'tt7777777', "
        "tmdb_id = '777777', path = '/other' WHERE id = %s",
        [film],
    )
    return add_title(conn, Media.MOVIE, title=title, year=year, imdb_id=imdb_id, tmdb_id=tmdb_id)


def test_a_rating_that_a_sync_gave_to_another_film_goes_back(conn: Conn, database: str) -> None:
    user, film = one_rating(conn)
    before = conn.execute(RATINGS).fetchall()
    keep(database)
    new = overwrite(conn, film)
    moved = {rating for _, title, rating in before if title == film}
    plan = plan_of(database)
    assert states_of(plan, "user_ratings")["ready"] == sum(row[1] == film for row in before)
    done = relink(database)
    assert done["put_back"]["user_ratings"] == sum(row[1] == film for row in before)
    after = conn.execute(RATINGS).fetchall()
    assert {(u, new if t == film else t, r) for u, t, r in before} == set(after)
    assert moved == {rating for _, title, rating in after if title == new}
    assert (user, film) not in {(u, t) for u, t, _ in after}


def test_a_rating_that_its_user_changed_since_stays_with_the_other_film(
    conn: Conn, database: str
) -> None:
    user, film = one_rating(conn)
    keep(database)
    new = overwrite(conn, film)
    conn.execute(
        "UPDATE user_ratings SET rating = 2, updated_at = now() "
        "WHERE user_id = %s AND movie_id = %s",
        [user, film],
    )
    relink(database)
    rows = {(u, t): r for u, t, r in conn.execute(RATINGS)}
    assert rows[user, film] == 2
    assert (user, new) in rows


def test_generated_and_identity_columns_of_the_administrator(conn: Conn, database: str) -> None:
    conn.execute(
        "ALTER TABLE user_ratings "
        "ADD COLUMN stars numeric GENERATED ALWAYS AS (rating / 2.0) STORED, "
        "ADD COLUMN number int GENERATED ALWAYS AS IDENTITY"
    )
    before = len(conn.execute(RATINGS).fetchall())
    snapshot = take_snapshot(conn)
    purge(database, "--what", "movies")
    resync(conn, snapshot, seed=1, media=[Media.MOVIE])
    relink(database)
    assert len(conn.execute(RATINGS).fetchall()) == before


def test_a_row_without_a_column_takes_it_from_no_other_row(conn: Conn, database: str) -> None:
    conn.execute("ALTER TABLE user_ratings ADD COLUMN note text DEFAULT 'none'")
    conn.execute("UPDATE user_ratings SET note = 'mine'")
    before = len(conn.execute(RATINGS).fetchall())
    snapshot = take_snapshot(conn)
    purge(database, "--what", "movies")
    conn.execute(
        "UPDATE aperture_db.kept_rows SET content = content - 'note' WHERE id = "
        "(SELECT min(id) FROM aperture_db.kept_rows WHERE source = 'user_ratings')"
    )
    resync(conn, snapshot, seed=1, media=[Media.MOVIE])
    relink(database)
    notes = "SELECT note, count(*) FROM user_ratings WHERE movie_id IS NOT NULL GROUP BY 1"
    assert dict(conn.execute(notes).fetchall()) == {"mine": before - 1, "none": 1}


def test_ratings_are_kept_without_their_foreign_key(conn: Conn, database: str) -> None:
    """A restore may have left it out."""
    conn.execute("ALTER TABLE user_ratings DROP CONSTRAINT user_ratings_movie_id_fkey")
    before = len(conn.execute(RATINGS).fetchall())
    snapshot = take_snapshot(conn)
    purge(database, "--what", "content")
    resync(conn, snapshot, seed=1)
    relink(database)
    assert len(conn.execute(RATINGS).fetchall()) == before


def test_rows_that_an_undone_purge_kept_are_in_place(conn: Conn, database: str) -> None:
    snapshot, before = take_snapshot(conn), conn.execute("SELECT * FROM user_ratings").fetchall()
    names = [column.name for column in conn.execute("SELECT * FROM user_ratings").description or ()]
    purge(database, "--what", "movies")
    insert_titles(conn, Media.MOVIE, snapshot.rows[Media.MOVIE])
    with conn.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO user_ratings ({', '.join(names)}) "
            f"VALUES ({', '.join(['%s'] * len(names))}) ON CONFLICT DO NOTHING",
            before,
        )
    assert "ready" not in states_of(plan_of(database), "user_ratings")


def test_a_user_who_is_gone_has_deleted_nothing(conn: Conn, database: str) -> None:
    user, _film = one_rating(conn)
    keep(database)
    conn.execute("DELETE FROM users WHERE id = %s", [user])
    keep(database)
    deleted = (
        "SELECT count(*) FROM aperture_db.kept_rows WHERE user_id = %s AND done_at IS NOT NULL"
    )
    assert conn.execute(deleted, [user]).fetchone() == (0,)


def test_a_locked_profile_of_another_model_waits(conn: Conn, database: str) -> None:
    conn.execute(
        "UPDATE user_taste_profiles SET is_locked = true WHERE id = "
        "(SELECT id FROM user_taste_profiles WHERE embedding IS NOT NULL LIMIT 1)"
    )
    purge(database, "--what", "movies", "--include-locked")
    conn.execute(
        "UPDATE aperture_db.kept_rows "
        "SET content = jsonb_set(content, '{embedding_model}', '\"x:y\"') "
        "WHERE source = 'user_taste_profiles'"
    )
    relink(database, "--include-locked")
    waiting = (
        "SELECT count(*) FROM aperture_db.kept_rows "
        "WHERE source = 'user_taste_profiles' AND done_at IS NULL"
    )
    row = conn.execute(waiting).fetchone()
    assert row is not None
    assert row[0] > 0


def test_the_ratings_of_a_file_belong_to_users_who_are_kept_too(
    conn: Conn, database: str, tmp_path: Path
) -> None:
    keep(database)
    file = str(tmp_path / "ratings.csv")
    before = conn.execute("SELECT count(*) FROM user_ratings").fetchone()
    purge(database, "--what", "ratings", "--export-ratings", file)
    assert run_inside("relink", "--import", file, database=database).code == 0
    relink(database)
    assert conn.execute("SELECT count(*) FROM user_ratings").fetchone() == before


def test_two_films_that_changed_places_get_their_ratings_back(conn: Conn, database: str) -> None:
    """A rebuilt server hands item ids out again: each row became the other film."""
    user = conn.execute(
        "SELECT user_id FROM user_ratings WHERE movie_id IS NOT NULL "
        "GROUP BY 1 HAVING count(*) > 2 LIMIT 1"
    ).fetchone()
    assert user is not None
    films = [
        row[0]
        for row in conn.execute(
            "SELECT movie_id FROM user_ratings WHERE user_id = %s AND movie_id IS NOT NULL "
            "ORDER BY id LIMIT 3",
            user,
        )
    ]
    before = {(u, t): r for u, t, r in conn.execute(RATINGS)}
    keep(database)
    columns = ("title", "original_title", "year", "imdb_id", "tmdb_id", "path")
    values = [
        conn.execute(f"SELECT {', '.join(columns)} FROM movies WHERE id = %s", [film]).fetchone()
        for film in films
    ]
    # The first becomes the second, the second the third, and the third the first.
    now = dict(zip(films, [films[1], films[2], films[0]], strict=True))
    conn.execute("UPDATE movies SET imdb_id = NULL, tmdb_id = NULL WHERE id = ANY (%s)", [films])
    for film, became in now.items():
        row = values[films.index(became)]
        assert row is not None
        assignments = ", ".join(f"{name} = %s" for name in columns)
        conn.execute(
            f"UPDATE movies SET {assignments} WHERE id = %s",
            [*row, film],
        )
    done = relink(database)
    moved = sum(title in films for _, title in before)
    assert done["put_back"]["user_ratings"] == moved
    where = {became: film for film, became in now.items()}
    expected = {(u, where.get(t, t)): r for (u, t), r in before.items()}
    assert {(u, t): r for u, t, r in conn.execute(RATINGS)} == expected
    assert plan_of(database)["ready_rows"] == 0


def test_a_placeholder_is_no_id(conn: Conn, database: str) -> None:
    """Two films without ids are not one film, even where a catalog wrote 0 for both."""
    _user, film = one_rating(conn)
    conn.execute("UPDATE movies SET imdb_id = NULL, tmdb_id = '0' WHERE id = %s", [film])
    keep(database)
    conn.execute("UPDATE movies SET title = 'Other film', year = 1901 WHERE id = %s", [film])
    keep(database)
    titles = conn.execute(
        "SELECT count(DISTINCT title) FROM aperture_db.kept_titles WHERE old_id = %s", [film]
    ).fetchone()
    assert titles == (2,)


def test_a_year_that_is_filled_in_later_makes_no_other_title(conn: Conn, database: str) -> None:
    _user, film = one_rating(conn)
    conn.execute("UPDATE movies SET imdb_id = NULL, tmdb_id = NULL, year = NULL, path = NULL "
                 "WHERE id = %s", [film])  # fmt: skip
    keep(database)
    conn.execute("UPDATE movies SET year = 2001 WHERE id = %s", [film])
    plan = plan_of(database)
    assert (plan["ready_rows"], plan["waiting_rows"]) == (0, 0)
    keep(database)
    kept = conn.execute(
        "SELECT count(*) FROM aperture_db.kept_titles WHERE old_id = %s", [film]
    ).fetchone()
    assert kept == (1,)
