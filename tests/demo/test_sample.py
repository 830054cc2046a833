"""The sample library: whole, consistent, believable."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from aperture_db.errors import UsageError
from aperture_db.postgres.session import Connection, open_session
from aperture_db.sample import (
    DEMO_SIZE,
    TEST_SIZE,
    SampleSize,
    TableFilled,
    VectorIndexBuilt,
    all_tables,
    fill,
)
from aperture_db.sample.world import make_world
from aperture_db.stats.collect import collect
from tests.conftest import copy_database

NOW = datetime(2026, 3, 4, 15, 30, tzinfo=UTC)
Reader = psycopg.Connection[TupleRow]
DIMENSIONS = (256, 384, 512, 768, 1024, 1536, 3072, 4096)


def connect(conninfo: str) -> Connection:
    return open_session(conninfo)


def connection_to(reader: Reader) -> Connection:
    return connect(make_conninfo(reader.info.dsn, password=reader.info.password))


def fill_all(conn: Connection, size: SampleSize = TEST_SIZE) -> None:
    for _event in fill(conn, size):
        pass


@pytest.fixture(scope="module")
def sample(admin_conninfo: str, aperture_template: str) -> Iterator[Reader]:
    """A database with the small sample library, for tests that only read."""
    name = f"test_sample_{secrets.token_hex(6)}"
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        copy_database(admin, aperture_template, name)
        conninfo = make_conninfo(admin_conninfo, dbname=name)
        with connect(conninfo) as conn:
            fill_all(conn)
        with psycopg.connect(conninfo, autocommit=True) as reader:
            yield reader
        admin.execute(f"DROP DATABASE {name}")


def count(conn: Reader, table: str) -> int:
    row = conn.execute(
        sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("public", table))
    ).fetchone()
    assert row is not None
    return int(row[0])


def column(conn: Reader, query: str) -> list[object]:
    return [row[0] for row in conn.execute(query).fetchall()]


def table_names(conn: Reader) -> list[str]:
    return [
        str(name)
        for name in column(
            conn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        )
    ]


def test_every_table_has_rows_but_those_of_other_embeddings(sample: Reader) -> None:
    empty = {name for name in table_names(sample) if count(sample, name) == 0}
    prefixes = ("embeddings", "series_embeddings", "episode_embeddings")
    others = {f"{prefix}_{d}" for prefix in prefixes for d in DIMENSIONS if d != 256}
    others |= {f"{prefix}_legacy" for prefix in prefixes}
    # What a former model left behind.
    others -= {"embeddings_384"}
    assert empty == others


def test_counts_are_those_asked_for(sample: Reader) -> None:
    assert count(sample, "movies") == TEST_SIZE.movies
    assert count(sample, "series") == TEST_SIZE.series
    assert count(sample, "episodes") == TEST_SIZE.series * 6
    assert count(sample, "users") == TEST_SIZE.users
    assert count(sample, "watch_history") == TEST_SIZE.watch_records
    assert count(sample, "embeddings_256") == TEST_SIZE.movies - 4
    assert count(sample, "episode_embeddings_256") == TEST_SIZE.series * 6


NEEDED_COLUMNS = {
    "movies": "year overview community_rating runtime_minutes path media_sources poster_url "
    "provider_library_id content_rating imdb_id tmdb_id search_vector languages studios",
    "series": "year overview status network total_seasons total_episodes imdb_id tmdb_id tvdb_id "
    "provider_library_id search_vector",
    "episodes": "premiere_date year runtime_minutes path",
    "watch_history": "last_played_at runtime_ticks playback_position_ticks",
    "recommendation_candidates": "similarity_score novelty_score rating_score",
    "user_taste_profiles": "embedding embedding_model auto_updated_at",
    "job_runs": "items_total items_processed metadata",
}


@pytest.mark.parametrize("table", NEEDED_COLUMNS)
def test_nothing_is_null_that_aperture_needs(sample: Reader, table: str) -> None:
    for name in NEEDED_COLUMNS[table].split():
        query = sql.SQL("SELECT count(*) FROM {} WHERE {} IS NULL").format(
            sql.Identifier(table), sql.Identifier(name)
        )
        assert sample.execute(query).fetchone() == (0,), name


LOOSE_REFERENCES = {
    "library of a film": "SELECT provider_library_id FROM movies "
    "EXCEPT SELECT provider_library_id FROM library_config",
    "library of a series": "SELECT provider_library_id FROM series "
    "EXCEPT SELECT provider_library_id FROM library_config",
    "collection of a film": "SELECT collection_id FROM movies WHERE collection_id IS NOT NULL "
    "EXCEPT SELECT tmdb_id FROM collections",
    "example of a channel": "SELECT unnest(example_movie_ids) FROM channels "
    "EXCEPT SELECT id FROM movies",
    "source of a playlist": "SELECT source_item_id FROM graph_playlists "
    "EXCEPT (SELECT id::text FROM movies UNION SELECT id::text FROM series)",
    "film of a verdict": "SELECT source_id FROM similarity_validation_cache "
    "EXCEPT SELECT id FROM movies",
    "model of a taste profile": "SELECT embedding_model FROM user_taste_profiles "
    "EXCEPT SELECT model FROM embeddings_256",
}


CHAT_PATHS = {
    "item of a search": "$[*].result.items[*].id",
    "link of an item": "$[*].result.items[*].detailsUrl",
    "action of an item": '$[*].result.items[*].actions[*] ? (@.id == "details").href',
    "film of a person": "$[*].result.people[*].filmography[*].id",
    "details": "$[*].result.contentId",
    "card of details": '$[*].result.id ? (@ starts with "detail-")',
    "action of details": '$[*].result.actions[*] ? (@.id == "details").href',
}


@pytest.mark.parametrize("path", CHAT_PATHS.values(), ids=CHAT_PATHS)
def test_results_in_chats_name_titles_of_the_library(sample: Reader, path: str) -> None:
    found = sample.execute(
        "SELECT substring(jsonb_path_query(tool_invocations, %s::jsonpath) #>> '{}' "
        "FROM '[0-9a-f-]{36}$') FROM assistant_messages",
        [path],
    ).fetchall()
    assert len(found) >= 14
    titles = set(column(sample, "SELECT id::text FROM movies UNION SELECT id::text FROM series"))
    assert {row[0] for row in found} <= titles


def test_links_in_chats_lead_to_titles_of_the_library(sample: Reader) -> None:
    links = column(
        sample,
        "SELECT (regexp_matches(content, '\\]\\((/(?:movies|series)/[0-9a-f-]{36})\\)', 'g'))[1] "
        "FROM assistant_messages",
    )
    pages = column(
        sample, "SELECT '/movies/' || id FROM movies UNION SELECT '/series/' || id FROM series"
    )
    assert len(links) == 14 * 5
    assert set(links) <= set(pages)


@pytest.mark.parametrize("query", LOOSE_REFERENCES.values(), ids=LOOSE_REFERENCES)
def test_references_without_a_foreign_key_hold(sample: Reader, query: str) -> None:
    assert column(sample, query) == []


def test_nothing_happened_in_the_future(sample: Reader) -> None:
    times = sample.execute(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND data_type = 'timestamp with time zone' "
        "AND column_name !~ '(expires|reset)_at' AND table_name <> 'aperture_migrations'"
    ).fetchall()
    assert len(times) > 100
    for table, name in times:
        query = sql.SQL("SELECT count(*) FROM {} WHERE {} > now()").format(
            sql.Identifier(table), sql.Identifier(name)
        )
        assert sample.execute(query).fetchone() == (0,), (table, name)


def test_nothing_was_watched_before_it_came(sample: Reader) -> None:
    early = (
        "SELECT count(*) FROM watch_history JOIN movies ON movies.id = movie_id "
        "WHERE last_played_at < movies.created_at"
    )
    assert column(sample, early) == [0]


def test_recommendations_are_selected_from_the_top(sample: Reader) -> None:
    runs = sample.execute(
        "SELECT r.candidate_count, r.selected_count, count(c.id), "
        "count(*) FILTER (WHERE c.is_selected), "
        "max(c.rank) FILTER (WHERE c.is_selected) "
        "FROM recommendation_runs AS r JOIN recommendation_candidates AS c ON c.run_id = r.id "
        "GROUP BY r.id"
    ).fetchall()
    assert len(runs) == 2 * 12
    for candidates, selected, actual_candidates, actual_selected, lowest_rank in runs:
        assert (candidates, selected) == (actual_candidates, actual_selected)
        assert lowest_rank == selected


def test_one_profile_is_locked(sample: Reader) -> None:
    locked = column(sample, "SELECT media_type FROM user_taste_profiles WHERE is_locked")
    assert locked == ["movie"]


def test_neighbours_of_a_film_are_like_it(aperture_database: Callable[[], str]) -> None:
    """Most of the five nearest films share a genre; at random it would be one in three."""
    conninfo = aperture_database()
    with connect(conninfo) as session:
        fill_all(session, replace(TEST_SIZE, movies=250))
    with psycopg.connect(conninfo, autocommit=True) as conn:
        shares = column(
            conn,
            "SELECT avg((near.genres && m.genres)::int)::float8 FROM movies AS m "
            "JOIN embeddings_256 AS e ON e.movie_id = m.id CROSS JOIN LATERAL ("
            "  SELECT genres FROM embeddings_256 AS o JOIN movies AS n ON n.id = o.movie_id "
            "  WHERE n.id <> m.id ORDER BY o.embedding <=> e.embedding LIMIT 5) AS near",
        )
        assert float(str(shares[0])) > 0.9
        nearest_of_collections = column(
            conn,
            "SELECT near.collection_name = m.collection_name FROM movies AS m "
            "JOIN embeddings_256 AS e ON e.movie_id = m.id CROSS JOIN LATERAL ("
            "  SELECT collection_name FROM embeddings_256 AS o JOIN movies AS n "
            "  ON n.id = o.movie_id WHERE n.id <> m.id "
            "  ORDER BY o.embedding <=> e.embedding LIMIT 1) AS near "
            "WHERE (SELECT count(*) FROM movies AS c JOIN embeddings_256 AS ce "
            "       ON ce.movie_id = c.id WHERE c.collection_name = m.collection_name) > 1",
        )
        assert nearest_of_collections.count(True) > 0.6 * len(nearest_of_collections)


def test_films_near_a_taste_are_of_the_genres_liked(sample: Reader) -> None:
    nearest = column(
        sample,
        "SELECT m.genres && ARRAY['Science Fiction', 'Thriller', 'Action'] "
        "FROM users AS u JOIN user_taste_profiles AS p ON p.user_id = u.id "
        "CROSS JOIN LATERAL (SELECT movie_id FROM embeddings_256 "
        "  ORDER BY embedding <=> p.embedding::halfvec(256) LIMIT 5) AS near "
        "JOIN movies AS m ON m.id = near.movie_id "
        "WHERE u.username = 'jonas' AND p.media_type = 'movie'",
    )
    assert nearest == [True] * 5


def test_episodes_lie_around_their_series(sample: Reader) -> None:
    of_same_series = column(
        sample,
        "SELECT near.series_id = e.series_id FROM episodes AS e "
        "JOIN episode_embeddings_256 AS v ON v.episode_id = e.id CROSS JOIN LATERAL ("
        "  SELECT series_id FROM episode_embeddings_256 AS o JOIN episodes AS n "
        "  ON n.id = o.episode_id WHERE n.id <> e.id "
        "  ORDER BY o.embedding <=> v.embedding LIMIT 1) AS near",
    )
    assert of_same_series.count(False) == 0


def test_stats_of_the_demo_are_calm(aperture_database: Callable[[], str]) -> None:
    """Everything that was synced is there; two hints show what hints are."""
    with connect(aperture_database()) as conn:
        fill_all(conn, DEMO_SIZE)
        report = collect(conn)
    assert report.embeddings.active_model == "ollama:nomic-embed-text"
    assert len(report.coverage) == 7
    assert [item.subject for item in report.coverage if item.missing] == ["movie embeddings"]
    assert all(item.present is not None and item.expected is not None for item in report.coverage)
    messages = [hint.message for hint in report.hints]
    assert len(messages) == 2
    assert messages[0].startswith("4 of 296 movies have no embedding")
    assert messages[1].startswith("20 embeddings are stale")


def test_the_same_seed_makes_the_same_rows() -> None:
    def rows(now: datetime) -> list[str]:
        tables = all_tables(make_world(TEST_SIZE, now, seed=7))
        return [f"{table.table}: {list(table.rows)}" for table in tables]

    assert rows(NOW) == rows(NOW)
    assert rows(NOW) != rows(NOW + timedelta(days=1))


def test_the_rows_do_not_depend_on_the_process() -> None:
    """Python orders sets of strings differently in each process."""
    program = (
        "from datetime import UTC, datetime\n"
        "from aperture_db.sample import TEST_SIZE\n"
        "from aperture_db.sample import all_tables\n"
        "from aperture_db.sample.world import make_world\n"
        "for table in all_tables(make_world(TEST_SIZE, datetime(2026, 3, 4, tzinfo=UTC), 7)):\n"
        "    for row in table.rows:\n"
        "        print(table.table, [getattr(value, 'obj', value) for value in row.values()])\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed},
            capture_output=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1


@pytest.mark.parametrize("days", range(7))
def test_any_day_of_the_week_will_do(days: int) -> None:
    """Weekly jobs ran on the last Sunday, whatever today is."""
    world = make_world(TEST_SIZE, NOW.replace(hour=4, minute=5) + timedelta(days=days), seed=7)
    sunday = world.clock.sunday()
    assert sunday.weekday() == 6
    assert timedelta() < world.now - sunday <= timedelta(days=7, minutes=10)


def test_a_database_in_use_is_refused(sample: Reader) -> None:
    with connection_to(sample) as conn, pytest.raises(UsageError) as caught:
        fill_all(conn)
    assert caught.value.code == "not_empty"
    assert count(sample, "movies") == TEST_SIZE.movies


@pytest.mark.parametrize("number", ["0000", "0001", "0113"])
def test_an_older_schema_is_refused(database_at: Callable[[str], str], number: str) -> None:
    conninfo = database_at(number)
    with connect(conninfo) as conn:
        with pytest.raises(UsageError) as caught:
            fill_all(conn)
        assert caught.value.code == "schema_not_current"
        assert caught.value.next_step == "aperture-db migrate"


def test_stopping_half_way_leaves_nothing(aperture_database: Callable[[], str]) -> None:
    with connect(aperture_database()) as conn:
        events = fill(conn, TEST_SIZE)
        assert any(event == TableFilled("episodes", 48) for event in events)
        events.close()
        assert count(conn, "users") == 0
        fill_all(conn)


def test_through_a_transaction_pooler(
    aperture_database: Callable[[], str], pgbouncer_conninfo: Callable[[str], str]
) -> None:
    with connect(pgbouncer_conninfo(aperture_database())) as conn:
        fill_all(conn)
        assert count(conn, "embeddings_256") == TEST_SIZE.movies - 4


def test_indexes_can_be_built_last(aperture_database: Callable[[], str]) -> None:
    definitions = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname"
    with connect(aperture_database()) as conn:
        before = column(conn, definitions)
        events = list(fill(conn, TEST_SIZE, indexes_last=True))
        assert column(conn, definitions) == before
    built = [event.name for event in events if isinstance(event, VectorIndexBuilt)]
    assert built == [
        "idx_embeddings_256_hnsw",
        "idx_episode_embeddings_256_hnsw",
        "idx_series_embeddings_256_hnsw",
    ]


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_every_dimension_has_an_active_model(
    aperture_database: Callable[[], str], dimension: int
) -> None:
    with connect(aperture_database()) as conn:
        fill_all(conn, replace(TEST_SIZE, dimension=dimension))
        report = collect(conn)
    assert report.embeddings.active_dimension == dimension


def test_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 20 movies"):
        SampleSize(movies=3)
    with pytest.raises(ValueError, match="100 dimensions"):
        SampleSize(dimension=100)
