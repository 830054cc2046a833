"""Databases of every age: tables and columns that are not there yet, or not there any more."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.purge.contents import counts, read_contents
from tests.purge.purging import plan_of, purge

# Where something that a purge concerns begins, and the step before.
VERSIONS = [
    "0001", "0005", "0006", "0008", "0012", "0023", "0024", "0028", "0031", "0034", "0035", "0043",
    "0053", "0062", "0071", "0077", "0078", "0084", "0085", "0105",
]  # fmt: skip
SCOPES = ("ratings", "watch-history", "movies", "series", "content")
# Rows by the table that they need, in the order in which they refer to each other.
ROWS = {
    "users": """
        INSERT INTO users (provider, provider_user_id, username)
        VALUES ('emby', '1', 'maria'), ('emby', '2', 'jonas')
    """,
    "movies": """
        INSERT INTO movies (provider_item_id, title) VALUES ('m1', 'One'), ('m2', 'Two')
    """,
    "embeddings": """
        INSERT INTO embeddings (movie_id, model, embedding)
        SELECT id, 'text-embedding-3-small', {vector} FROM movies
    """,
    "embeddings_3072": """
        INSERT INTO embeddings_3072 (movie_id, model, embedding)
        SELECT id, 'openai:text-embedding-3-large', {vector} FROM movies
    """,
    "watch_history": """
        INSERT INTO watch_history (user_id, movie_id)
        SELECT u.id, m.id FROM users AS u CROSS JOIN movies AS m
    """,
    "recommendation_runs": "INSERT INTO recommendation_runs (user_id) SELECT id FROM users",
    "recommendation_candidates": """
        INSERT INTO recommendation_candidates (run_id, movie_id, rank, final_score)
        SELECT r.id, m.id, 1, 0.5 FROM recommendation_runs AS r CROSS JOIN movies AS m
    """,
    "recommendation_evidence": """
        INSERT INTO recommendation_evidence (candidate_id, similar_movie_id, similarity)
        SELECT id, movie_id, 0.5 FROM recommendation_candidates
    """,
    "series": "INSERT INTO series (provider_item_id, title) VALUES ('s1', 'A'), ('s2', 'B')",
    "episodes": """
        INSERT INTO episodes (series_id, provider_item_id, season_number, episode_number, title)
        SELECT id, provider_item_id || 'e1', 1, 1, 'Pilot' FROM series
    """,
    "user_ratings": """
        INSERT INTO user_ratings (user_id, movie_id, rating)
        SELECT u.id, m.id, 7 FROM users AS u CROSS JOIN movies AS m
    """,
}
EPISODE_HISTORY = """
    INSERT INTO watch_history (user_id, episode_id, media_type)
    SELECT u.id, e.id, 'episode' FROM users AS u CROSS JOIN episodes AS e
"""


def fill(database: str) -> None:
    """Put a small library into whatever tables there are."""
    with psycopg.connect(database, autocommit=True) as conn:
        for table, statement in ROWS.items():
            if _has(conn, table):
                conn.execute(statement.replace("{vector}", _vector(conn, table)))
        if _has(conn, "watch_history", "episode_id"):
            conn.execute(EPISODE_HISTORY)


def _has(conn: psycopg.Connection, table: str, column: str | None = None) -> bool:
    query = "SELECT FROM information_schema.columns WHERE table_name = %s"
    if column is None:
        return conn.execute(query, [table]).rowcount > 0
    return conn.execute(f"{query} AND column_name = %s", [table, column]).rowcount > 0


def _vector(conn: psycopg.Connection, table: str) -> str:
    """A vector of the table's type: vector(1536) before 0024, halfvec after."""
    row = conn.execute(
        "SELECT format_type(atttypid, atttypmod), atttypmod FROM pg_attribute "
        "WHERE attrelid = to_regclass(%s) AND attname = 'embedding'",
        [table],
    ).fetchone()
    return f"('[1' || repeat(',0', {row[1] - 1}) || ']')::{row[0]}" if row else ""


@pytest.mark.parametrize("number", VERSIONS)
def test_every_option_on_an_older_version(number: str, database_at: Callable[[str], str]) -> None:
    database = database_at(number)
    fill(database)
    for what in SCOPES:
        before = counts(read_contents(database))
        plan = plan_of(database, "--what", what)
        purge(database, "--what", what, "--expect-rows", str(plan["rows"]))
        after = counts(read_contents(database))
        gone = {table: before[table] - after[table] for table in before}
        planned = {deletion["table"]: deletion["rows"] for deletion in plan["deletions"]}
        assert gone == {table: planned.get(table, 0) for table in before}
        for table in _emptied(what):
            assert not after.get(table), f"{table} after {what}"
        if what in ("ratings", "watch-history", "movies") and "series" in after:
            assert after["series"] == 2
    assert after.get("users", 2) == 2


def _emptied(what: str) -> tuple[str, ...]:
    films = ("movies", "embeddings", "embeddings_3072", "recommendation_evidence")
    return {
        "ratings": ("user_ratings",),
        "watch-history": ("watch_history",),
        "movies": films,
        "series": ("series", "episodes"),
        "content": (*films, "series", "episodes", "recommendation_runs"),
    }[what]


def test_films_and_episodes_watched_are_told_apart(database_at: Callable[[str], str]) -> None:
    database = database_at("0032")
    fill(database)
    purge(database, "--what", "movies")
    assert counts(read_contents(database))["watch_history"] == 4
    purge(database, "--what", "series")
    assert counts(read_contents(database))["watch_history"] == 0


def test_without_the_legacy_tables(sample_database: Callable[[], str]) -> None:
    database = sample_database()
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(
            "DROP TABLE embeddings_legacy, series_embeddings_legacy, episode_embeddings_legacy"
        )
    purge(database, "--what", "content")
    assert counts(read_contents(database))["movies"] == 0


def test_an_empty_database_has_nothing_to_purge(new_database: Callable[[], str]) -> None:
    database = new_database()
    for what in SCOPES:
        plan = plan_of(database, "--what", what)
        assert (plan["rows"], plan["deletions"], plan["updates"]) == (0, [], [])


@pytest.mark.parametrize("what", [*SCOPES, "everything"])
def test_through_a_transaction_pooler(
    what: str, sample_database: Callable[[], str], pgbouncer_conninfo: Callable[[str], str]
) -> None:
    direct, pooled = sample_database(), sample_database()
    purge(direct, "--what", what)
    data = purge(pgbouncer_conninfo(pooled), "--what", what)
    assert counts(read_contents(pooled)) == counts(read_contents(direct))
    assert data["outcome"]["not_shrunk"] == []
