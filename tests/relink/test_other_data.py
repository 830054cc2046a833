"""Lists of series, watch history, verdicts and locked profiles; where kept data shows."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from aperture_db.aperture import Media
from tests.program import run_inside
from tests.purge.purging import purge
from tests.relink.made import plan_of, relink, states_of
from tests.relink.resync import EVERYTHING, Conn, resync, take_snapshot

SERIES = (Media.SERIES, Media.EPISODE)
WATCHED = "SELECT user_id, series_id, added_at FROM user_watching_series"


def watching(conn: Conn) -> dict[tuple[UUID, UUID], Any]:
    return {(row[0], row[1]): row[2] for row in conn.execute(WATCHED)}


def setting(conn: Conn, key: str, value: str) -> None:
    conn.execute(
        "INSERT INTO system_settings (key, value) VALUES (%s, %s) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [key, value],
    )


def test_the_list_comes_back_from_the_server_and_its_times_from_relink(
    conn: Conn, database: str
) -> None:
    conn.execute("UPDATE users SET is_enabled = true")
    snapshot, before = take_snapshot(conn), watching(conn)
    purge(database, "--what", "series")
    new_ids = resync(conn, snapshot, seed=1, media=SERIES, is_rebuilt=False)
    relink(database)
    assert watching(conn) == {}, "a favorite that was removed meanwhile must not come back"
    assert states_of(plan_of(database), "user_watching_series") == {
        "returns with a sync": len(before)
    }
    returned = {(user, new_ids[series]): added for (user, series), added in before.items()}
    gone, *rest = returned
    for user, series in rest:
        conn.execute(
            "INSERT INTO user_watching_series (user_id, series_id) VALUES (%s, %s)", [user, series]
        )
    conn.execute(
        "INSERT INTO job_runs (job_name, status, started_at, completed_at, duration_ms) VALUES "
        "('sync-watching-favorites', 'completed', now(), now(), 1)"
    )
    assert states_of(plan_of(database), "user_watching_series")["no longer wanted"] == 1
    assert relink(database)["ended"] == {"user_watching_series": 1}
    assert watching(conn) == {key: added for key, added in returned.items() if key != gone}
    assert plan_of(database)["waiting_rows"] == 0


def test_the_list_is_added_after_the_server_was_built_anew_under_its_address(
    conn: Conn, database: str
) -> None:
    """It knows none of the favorites any more, so nobody has removed one."""
    conn.execute("UPDATE users SET is_enabled = true")
    snapshot, before = take_snapshot(conn), watching(conn)
    purge(database, "--what", "content")
    new_ids = resync(conn, snapshot, seed=1)
    conn.execute(
        "INSERT INTO job_runs (job_name, status, started_at, completed_at, duration_ms) VALUES "
        "('sync-watching-favorites', 'completed', now(), now(), 1)"
    )
    assert states_of(plan_of(database), "user_watching_series") == {"ready": len(before)}
    assert relink(database)["ended"] == {}
    assert watching(conn) == {(user, new_ids[series]): at for (user, series), at in before.items()}


def test_series_are_added_where_no_sync_fetches_them(conn: Conn, database: str) -> None:
    setting(conn, "watching_library_enabled", "false")
    snapshot, before = take_snapshot(conn), watching(conn)
    purge(database, "--what", "series")
    new_ids = resync(conn, snapshot, seed=1, media=SERIES)
    assert any("favorites" in remark for remark in plan_of(database)["remarks"])
    relink(database)
    assert watching(conn) == {(user, new_ids[series]): at for (user, series), at in before.items()}


def test_series_are_added_after_a_change_of_the_server(conn: Conn, database: str) -> None:
    setting(conn, "media_server_type", "jellyfin")
    setting(conn, "media_server_base_url", "http://old:8096/")
    snapshot, before = take_snapshot(conn), watching(conn)
    purge(database, "--what", "series")
    setting(conn, "media_server_base_url", "http://new:8096")
    resync(conn, snapshot, seed=1, media=SERIES)
    relink(database)
    assert len(watching(conn)) == len(before)


def test_watch_history_of_users_that_no_sync_reads(conn: Conn, database: str) -> None:
    setting(conn, "media_server_type", "jellyfin")
    user = conn.execute(
        "SELECT user_id FROM watch_history GROUP BY 1 HAVING count(episode_id) > 0 "
        "AND count(movie_id) > 0 LIMIT 1"
    ).fetchone()
    assert user is not None
    conn.execute("UPDATE users SET provider_disabled = true WHERE id = %s", user)
    query = (
        "SELECT movie_id, episode_id, play_count, last_played_at, is_favorite FROM watch_history "
        "WHERE user_id = %s"
    )
    snapshot, before = take_snapshot(conn), conn.execute(query, user).fetchall()
    purge(database, "--what", "content")
    new_ids = resync(conn, snapshot, seed=1)
    relink(database)
    assert conn.execute(query, user).fetchall() == []
    relink(database, "--include-watch-history")
    expected = [(new_ids.get(row[0]), new_ids.get(row[1]), *row[2:]) for row in before]
    assert sorted(conn.execute(query, user), key=str) == sorted(expected, key=str)
    assert conn.execute("SELECT count(DISTINCT user_id) FROM watch_history").fetchone() == (1,)


def test_verdicts_on_request(conn: Conn, database: str) -> None:
    conn.execute("DELETE FROM similarity_validation_cache")
    conn.execute(
        "INSERT INTO similarity_validation_cache "
        "(source_id, target_id, source_type, target_type, is_valid) "
        "SELECT m.id, s.id, 'movie', 'series', true FROM (SELECT id FROM movies LIMIT 3) AS m "
        "CROSS JOIN (SELECT id FROM series LIMIT 3) AS s ON CONFLICT DO NOTHING"
    )
    query = "SELECT source_id, target_id FROM similarity_validation_cache"
    snapshot, before = take_snapshot(conn), conn.execute(query).fetchall()
    purge(database, "--what", "content")
    new_ids = resync(conn, snapshot, seed=1)
    first = before[0]
    conn.execute(
        "INSERT INTO similarity_validation_cache "
        "(source_id, target_id, source_type, target_type, is_valid) "
        "SELECT %s, %s, source_type, target_type, false FROM similarity_validation_cache "
        "WHERE source_id = %s AND target_id = %s",
        [new_ids[first[0]], new_ids[first[1]], *first],
    )
    assert "similarity_validation_cache" not in relink(database)["updated"]
    assert "similarity_validation_cache" in relink(database, "--include-similarity")["updated"]
    now = set(conn.execute(query).fetchall())
    assert {(new_ids[source], new_ids[target]) for source, target in before} <= now


def test_locked_profiles_on_request(conn: Conn, database: str) -> None:
    conn.execute(
        "UPDATE user_taste_profiles SET is_locked = true WHERE embedding IS NOT NULL "
        "AND media_type = 'movie'"
    )
    query = (
        "SELECT id, embedding::text, embedding_model, auto_updated_at FROM user_taste_profiles "
        "WHERE is_locked AND media_type = 'movie' ORDER BY id"
    )
    snapshot, before = take_snapshot(conn), conn.execute(query).fetchall()
    assert before
    purge(database, "--what", "movies", "--include-locked")
    resync(conn, snapshot, seed=1, media=(Media.MOVIE,))
    conn.execute("UPDATE user_taste_profiles SET auto_updated_at = NULL")
    relink(database)
    assert {row[1] for row in conn.execute(query)} == {None}
    relink(database, "--include-locked")
    assert conn.execute(query).fetchall() == before


def test_kept_data_shows_in_stats_and_health(conn: Conn, database: str) -> None:
    def shown() -> tuple[str, bool]:
        health = run_inside("health", "--only", "kept-data", "--json", database=database)
        stats = run_inside("stats", "--json", database=database)
        (check,) = health.envelope["data"]["checks"]
        hints = stats.envelope["data"]["hints"]
        return check["status"], "kept_data" in [hint["id"] for hint in hints]

    snapshot = take_snapshot(conn)
    assert shown() == ("ok", False)
    run_inside("relink", "--keep", database=database)
    assert shown() == ("ok", False)
    purge(database, "--what", "content")
    assert shown() == ("warning", True)
    conn.execute("UPDATE users SET is_enabled = false")
    resync(conn, snapshot, seed=1, media=EVERYTHING)
    relink(database)
    assert shown() == ("ok", False)


def test_a_role_that_cannot_keep_learns_the_grant(conn: Conn) -> None:
    role = f"keeper_{conn.info.dbname}"
    conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    try:
        conn.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
        conn.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        target = f"postgresql://{role}:x@127.0.0.1:{conn.info.port}/{conn.info.dbname}"
        arguments = ("purge", "--what", "movies", "--no-backup", "--confirm", "yes I am sure")
        refused = run_inside(*arguments, database=target)
        assert refused.code == 1
        assert f'GRANT CREATE ON DATABASE "{conn.info.dbname}" TO "{role}";' in refused.err
        assert "--no-keep" in refused.err
        conn.execute(f"GRANT CREATE ON DATABASE {conn.info.dbname} TO {role}")
        assert run_inside("relink", "--keep", database=target).code == 0
        done = run_inside(*arguments, "--no-keep", database=target)
        assert done.code == 0, done.err
    finally:
        conn.execute("DROP SCHEMA IF EXISTS aperture_db CASCADE")
        conn.execute(f"DROP OWNED BY {role}")
        conn.execute(f"DROP ROLE {role}")
