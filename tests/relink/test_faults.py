"""A relink or a purge that is killed anywhere, two at once, a sync meanwhile: nothing is lost or
doubled, and the next run completes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest

from aperture_db.aperture import Media
from tests.cli import finish, start_cli
from tests.proxy import Gate, is_connected, proxied
from tests.purge.purging import CONFIRMED, purge
from tests.purge.test_faults import purge_transaction
from tests.relink.made import UserMade, expected_after, plan_of, relink, user_made
from tests.relink.resync import Conn, add_title, resync, take_snapshot
from tests.waiting import wait_until

LAST_POINT = 9
RELINK = ("relink", "--apply")
PURGE = ("purge", "--what", "movies", *CONFIRMED)


def purged_and_synced(database: str) -> UserMade:
    """Returns what users must have after the relink."""
    with psycopg.connect(database, autocommit=True) as conn:
        snapshot, before = take_snapshot(conn), user_made(conn)
        purge(database, "--what", "content")
        return expected_after(before, resync(conn, snapshot, seed=1))


@pytest.fixture(scope="module")
def sent() -> dict[tuple[str, ...], list[bytes]]:
    """What a whole run sends, by its command; filled by the first test that asks."""
    return {}


def record(command: tuple[str, ...], database: str) -> list[bytes]:
    gate = Gate()
    with proxied(database, gate) as proxy:
        done = finish(start_cli(*command, conninfo=proxy.conninfo))
    assert done.code == 0, done.err
    return gate.texts


def kill_at(number: int, command: tuple[str, ...], database: str) -> None:
    """Kill the program at one of its messages, and wait until the server has noticed."""
    gate = Gate(held_number=number)
    with proxied(database, gate) as proxy:
        process = start_cli(*command, conninfo=proxy.conninfo)
        assert gate.reached.wait(60)
        process.kill()
        finish(process)
    wait_until(lambda: not is_connected(database), "the session has ended")


@pytest.mark.parametrize("point", range(LAST_POINT + 1))
def test_relink_killed_anywhere(
    point: int, sent: dict[tuple[str, ...], list[bytes]], sample_database: Callable[[], str]
) -> None:
    if RELINK not in sent:
        whole = sample_database()
        purged_and_synced(whole)
        sent[RELINK] = record(RELINK, whole)
    texts = sent[RELINK]
    first = next(number for number, text in enumerate(texts) if b"INSERT INTO" in text)
    database = sample_database()
    expected = purged_and_synced(database)
    kill_at(first + (len(texts) - 1 - first) * point // LAST_POINT, RELINK, database)
    relink(database)
    with psycopg.connect(database) as conn:
        assert user_made(conn) == expected
    assert plan_of(database)["ready_rows"] == 0


@pytest.mark.parametrize("point", range(LAST_POINT + 1))
def test_purge_killed_before_its_commit_has_kept_nothing(
    point: int, sent: dict[tuple[str, ...], list[bytes]], sample_database: Callable[[], str]
) -> None:
    if PURGE not in sent:
        sent[PURGE] = record(PURGE, sample_database())
    texts = sent[PURGE]
    begin, commit = purge_transaction(texts)
    database = sample_database()
    with psycopg.connect(database) as conn:
        before = user_made(conn)
    kill_at(begin + 1 + (commit - begin - 1) * point // LAST_POINT, PURGE, database)
    with psycopg.connect(database) as conn:
        assert user_made(conn) == before
        assert conn.execute("SELECT to_regclass('aperture_db.kept_rows')").fetchone() == (None,)


def test_two_relinks_at_once(database: str, conn: Conn) -> None:
    expected = purged_and_synced(database)
    both = [start_cli(*RELINK, "--json", conninfo=database) for _ in range(2)]
    done = [finish(process) for process in both]
    assert [each.code for each in done] == [0, 0], [each.err for each in done]
    assert user_made(conn) == expected
    put_back = [each.envelope["data"]["outcome"]["put_back"] for each in done]
    total = sum(each.get("user_ratings", 0) for each in put_back)
    assert total == len(expected["user_ratings"])


def test_a_sync_inserts_and_deletes_meanwhile(database: str, conn: Conn) -> None:
    """Titles that a sync deletes between the match and the insert wait for their return."""
    expected = purged_and_synced(database)
    rated = {UUID(row["movie_id"]) for row in expected["user_ratings"] if row["movie_id"] != "None"}
    columns = ("title", "year", "imdb_id", "tmdb_id", "path")
    rows = conn.execute(
        f"SELECT id, {', '.join(columns)} FROM movies WHERE id = ANY (%s)", [list(rated)]
    ).fetchall()[:10]
    stop = threading.Event()

    def sync() -> None:
        """Delete and insert again, one after the other, with other ids each time."""
        with psycopg.connect(database, autocommit=True) as other:
            while not stop.is_set():
                for row in rows:
                    title = dict(zip(columns, row[1:], strict=True))
                    other.execute("DELETE FROM movies WHERE imdb_id = %s", [title["imdb_id"]])
                    add_title(other, Media.MOVIE, **title)

    thread = threading.Thread(target=sync)
    thread.start()
    try:
        done = [finish(start_cli(*RELINK, conninfo=database)) for _ in range(3)]
    finally:
        stop.set()
        thread.join()
    assert [each.code for each in done] == [0, 0, 0], [each.err for each in done]
    steady = {str(film) for film in rated - {row[0] for row in rows}}
    now = user_made(conn)["user_ratings"]
    assert [row for row in now if row["movie_id"] in steady] == [
        row for row in expected["user_ratings"] if row["movie_id"] in steady
    ]
    places = [(row["user_id"], row["movie_id"], row["series_id"]) for row in now]
    assert len(places) == len(set(places))


def test_an_interrupted_run_says_what_stays(database: str) -> None:
    purged_and_synced(database)
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND application_name = 'aperture-db' AND datname = current_database()"
    )
    with psycopg.connect(database) as blocker, psycopg.connect(database) as watcher:
        blocker.execute("SELECT FROM aperture_db.kept_rows FOR UPDATE")
        process = start_cli(*RELINK, conninfo=database)
        watcher.autocommit = True
        wait_until(lambda: watcher.execute(waiting).fetchone() == (1,), "relink waits")
        process.terminate()
        outcome = finish(process)
    assert outcome.code == 143
    assert "what was put back up to now stays" in outcome.err
