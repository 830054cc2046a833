"""Somebody else's objects with the names that pending files create: found before the first file."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from aperture_db.migrations.directory import read_directory
from aperture_db.migrations.names import Creation, find_creations
from aperture_db.postgres.sql_scanner import split_statements
from tests.migrate.conftest import Directory, recorded, table_exists
from tests.program import run_inside

FOREIGN_SERVER = (
    "CREATE FOREIGN DATA WRAPPER elsewhere; CREATE SERVER elsewhere FOREIGN DATA WRAPPER elsewhere;"
)
AGGREGATE = "(SFUNC = int4pl, STYPE = int4)"
IN_THE_WAY = {
    "CREATE TABLE series (id int)": "series",
    "CREATE TABLE series (LIKE pg_class)": "series",
    'CREATE TABLE "Series" (id int); CREATE TABLE graph_playlists (id int)': "graph_playlists",
    "CREATE VIEW users AS SELECT 1 AS id": "the view users",
    "CREATE TABLE users (id int) PARTITION BY RANGE (id)": "the partitioned table users",
    "CREATE MATERIALIZED VIEW episodes AS SELECT 1 AS id": "the materialized view episodes",
    FOREIGN_SERVER + "CREATE FOREIGN TABLE movies (id int) SERVER elsewhere": (
        "the foreign table movies"
    ),
    "CREATE TYPE channels AS ENUM ('a')": "the enum channels",
    "CREATE TYPE channels AS (a int)": "the composite type channels",
    "CREATE TYPE channels AS RANGE (SUBTYPE = int4)": "the range type channels",
    "CREATE TYPE other AS RANGE (SUBTYPE = int4, MULTIRANGE_TYPE_NAME = sessions)": (
        "the multirange type sessions"
    ),
    "CREATE DOMAIN job_config AS int": "the domain job_config",
    "CREATE TYPE strm_libraries": "the type strm_libraries",
    "CREATE SEQUENCE api_keys": "the sequence api_keys",
    "CREATE TABLE other (id int); CREATE INDEX playlists ON other (id)": "the index playlists",
    "CREATE TABLE other (id int); CREATE INDEX idx_users_provider ON other (id)": (
        "the index idx_users_provider"
    ),
    "CREATE TABLE other (id int CONSTRAINT movies_pkey PRIMARY KEY)": "the index movies_pkey",
    "CREATE SEQUENCE custom_ai_models_id_seq": "the sequence custom_ai_models_id_seq",
    "CREATE FUNCTION update_updated_at_column() RETURNS int LANGUAGE sql AS 'SELECT 1'": (
        "the function update_updated_at_column"
    ),
    "CREATE PROCEDURE update_updated_at_column() LANGUAGE sql AS 'SELECT 1'": (
        "the procedure update_updated_at_column"
    ),
    "CREATE AGGREGATE movies_search_vector"
    "(text, text, text, text[], text[], text[], jsonb, text[], text) "
    "(SFUNC = f, STYPE = int4)": "the aggregate movies_search_vector",
    # A file renames a table to this name.
    "CREATE TABLE embeddings_legacy (id int)": "embeddings_legacy",
    "CREATE VIEW aperture_migrations AS SELECT 1 AS id": "the view aperture_migrations",
    "CREATE TYPE aperture_migrations AS ENUM ('a')": "the enum aperture_migrations",
}
STATE_FUNCTION = (
    "CREATE FUNCTION f(int, text, text, text, text[], text[], text[], jsonb, text[], text) "
    "RETURNS int LANGUAGE sql AS 'SELECT 1';"
)
NOT_IN_THE_WAY = (
    "CREATE SCHEMA other; CREATE TABLE other.movies (id int)",
    'CREATE TABLE "Movies" (id int)',
    "CREATE TYPE idx_users_provider AS ENUM ('a')",
    "CREATE FUNCTION update_updated_at_column(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION movies_search_vector(text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION movies() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TABLE other (id int CONSTRAINT movies CHECK (id > 0))",
    (
        "CREATE TABLE other (id int); CREATE TRIGGER trigger_users_updated_at BEFORE UPDATE "
        "ON other FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    ),
)


def execute(conninfo: str, statements: str) -> None:
    with psycopg.connect(conninfo) as conn:
        conn.execute(statements.encode())


@pytest.mark.parametrize("statements", IN_THE_WAY)
def test_every_kind_is_found_first(new_database: Callable[[], str], statements: str) -> None:
    conninfo = new_database()
    if "(SFUNC = f" in statements:
        execute(conninfo, STATE_FUNCTION)
    execute(conninfo, statements)
    for mode in (("--dry-run",), ("--rehearse",), ()):
        refused = run_inside("migrate", *mode, database=conninfo)
        assert refused.code == 1, refused
        assert refused.err.startswith("error: this is not Aperture's database, and it has ")
        why = f"why:   schema public has {IN_THE_WAY[statements]}, and no migration is recorded\n"
        assert why in refused.err
        assert "mark-applied" not in refused.err
    assert not table_exists(conninfo, "recommendation_runs")


@pytest.mark.parametrize("statements", NOT_IN_THE_WAY)
def test_what_does_not_clash_is_let_be(new_database: Callable[[], str], statements: str) -> None:
    conninfo = new_database()
    execute(conninfo, statements)
    done = run_inside("migrate", database=conninfo)
    assert (done.code, len(recorded(conninfo))) == (0, 114), done.err


def test_the_names_of_the_bundled_files_are_those_that_the_server_makes(
    aperture_database: Callable[[], str],
) -> None:
    query = """
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i', 'S')
        UNION ALL SELECT proname FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e'
        )
        UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal
    """
    with psycopg.connect(aperture_database()) as conn:
        there = {str(name) for (name,) in conn.execute(query)}
    foreseen = {
        made.name
        for file in read_directory().files
        for statement in file.statements
        for made in find_creations(statement, file.text)
    }
    assert there - foreseen == set()
    # A later file drops or renames them, or their column.
    assert foreseen - there == {
        "embeddings",
        "episode_embeddings",
        "idx_movies_studios",
        "idx_series_studios",
        "idx_users_jellyseerr_user_id_unique",
        "series_embeddings",
        "trigger_user_ratings_updated_at",
        "watch_history_user_movie_unique",
    }


FOREIGN_FUNCTION = (
    "CREATE FUNCTION update_series_search_vector() RETURNS trigger LANGUAGE plpgsql "
    "AS 'BEGIN RETURN new; END'"
)
IN_AN_APERTURE = {
    # By the number of the last applied file.
    ("0060", "CREATE TABLE setup_progress (id int)"): "0061_setup_progress.sql creates",
    ("0060", "CREATE VIEW setup_progress AS SELECT 1 AS id"): "the view setup_progress",
    ("0077", "CREATE TABLE embeddings_768 (id int)"): "creates embeddings_768",
    ("0077", "CREATE TABLE embeddings_legacy (x int)"): "creates embeddings_legacy",
    ("0077", "CREATE SEQUENCE idx_embeddings_256_hnsw"): "the sequence idx_embeddings_256_hnsw",
    ("0059", FOREIGN_FUNCTION): "the function update_series_search_vector",
    ("0084", "CREATE TYPE user_taste_profiles AS ENUM ('a')"): "the enum user_taste_profiles",
    ("0113", "CREATE INDEX idx_watch_history_excludable ON movies (id)"): (
        "the index idx_watch_history_excludable"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("number", "statements"), IN_AN_APERTURE)
def test_they_are_found_in_a_database_of_aperture_too(
    database_at: Callable[[str], str], number: str, statements: str
) -> None:
    conninfo = database_at(number)
    execute(conninfo, statements)
    refused = run_inside("migrate", database=conninfo)
    assert refused.code == 1, refused
    assert refused.err.startswith("error: pending migrations create what is there already")
    assert IN_AN_APERTURE[number, statements] in refused.err
    assert recorded(conninfo)[-1].startswith(number)


WANTED = {
    "ALTER TABLE watch_history ADD COLUMN played boolean NOT NULL DEFAULT false": "0113",
    "CREATE TABLE embeddings_256 (LIKE embeddings INCLUDING ALL)": "0077",
    "CREATE TABLE embeddings_256 (LIKE embeddings); "
    "CREATE INDEX idx_embeddings_256_movie_id ON embeddings_256 (movie_id)": "0077",
}


@pytest.mark.parametrize("statements", WANTED)
def test_a_guarded_statement_may_find_what_it_would_make(
    database_at: Callable[[str], str], statements: str
) -> None:
    conninfo = database_at(WANTED[statements])
    execute(conninfo, statements)
    planned = run_inside("migrate", "--dry-run", database=conninfo)
    assert planned.code == 0, planned.err


@pytest.mark.parametrize("number", ["0001", "0007", "0024", "0059", "0060", "0077", "0078", "0104"])
def test_records_that_lag_by_guarded_files_are_caught_up(
    database_at: Callable[[str], str], number: str
) -> None:
    """What a file made, and its record was lost: as far as the file guards it, as ever."""
    conninfo = database_at(number)
    with psycopg.connect(conninfo) as conn:
        conn.execute("DELETE FROM aperture_migrations WHERE name LIKE %s", [f"{number}_%"])
    plain = run_inside("migrate", "--rehearse", "--to", number, database=conninfo)
    is_guarded = number not in ("0007", "0060")
    assert (plain.code == 0) == is_guarded, plain


def test_files_of_one_s_own(new_database: Callable[[], str], directory: Directory) -> None:
    conninfo = new_database()
    files = {
        "0001_a": "CREATE TABLE a (id serial PRIMARY KEY, n text UNIQUE, UNIQUE (id, n));",
        "0002_b": 'DROP VIEW IF EXISTS b; CREATE VIEW b AS SELECT 1; CREATE TABLE "C c" (id int);',
        "0003_c": "ALTER TABLE a RENAME TO d; CREATE UNIQUE INDEX CONCURRENTLY_not ON d (n);",
    }
    path = str(directory(**files))
    execute(
        conninfo, 'CREATE VIEW b AS SELECT 2; CREATE TABLE d (x int); CREATE VIEW "C c" AS SELECT 1'
    )
    refused = run_inside("migrate", "--dir", path, database=conninfo)
    assert "why:   schema public has d, the view C c, and no migration is recorded" in refused.err
    execute(conninfo, 'DROP TABLE d; DROP VIEW "C c"')
    assert run_inside("migrate", "--dir", path, database=conninfo).code == 0


def creations(text: str) -> list[Creation]:
    return [made for each in split_statements(text) for made in find_creations(each, text)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('create unlogged table IF NOT EXISTS s."A b" (x int, "Y" text UNIQUE)',
         ["A b", "A b_Y_key"]),
        ("CREATE TABLE a (x numeric(10, 2) CHECK (x IN (1, 2)), y int)", ["a"]),
        ("CREATE TABLE a (x int, CONSTRAINT b UNIQUE (x), EXCLUDE USING gist (x WITH =))",
         ["a", "b"]),
        ("CREATE TABLE a (x bigint GENERATED ALWAYS AS IDENTITY, UNIQUE (x, y))",
         ["a", "a_x_seq", "a_x_y_key"]),
        ("CREATE TABLE a AS SELECT 1", ["a"]),
        ("CREATE TEMPORARY TABLE a (x int)", []),
        ("CREATE INDEX ON a (x); CREATE INDEX IF NOT EXISTS i ON ONLY a (x)", ["i"]),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON a (x)", ["i"]),
        ("ALTER TABLE a ADD x serial, ADD COLUMN IF NOT EXISTS y int UNIQUE, DROP z",
         ["a_x_seq", "a_y_key"]),
        ("ALTER TABLE IF EXISTS ONLY a ADD CONSTRAINT c PRIMARY KEY (x)", ["c"]),
        ("ALTER TABLE a RENAME COLUMN b TO c; ALTER INDEX a RENAME TO b", ["b"]),
        ("CREATE OR REPLACE VIEW v AS SELECT 1; CREATE MATERIALIZED VIEW m AS SELECT 1",
         ["v", "m"]),
        ("CREATE FUNCTION f(IN a int DEFAULT 1, OUT b text) LANGUAGE sql AS 'CREATE TABLE x ()'",
         ["f"]),
        ("DO $x$ BEGIN IF true THEN CREATE TABLE IF NOT EXISTS t (); END IF; END $x$", ["t"]),
        ("DO 'BEGIN CREATE TABLE t (); END'", []),
        ("COMMENT ON TABLE a IS 'CREATE TABLE b ()'; DROP TABLE c", []),
        ("CREATE TABLE a", ["a"]),
        ("CREATE", []),
        ("CREATE TABLE", []),
        ("ALTER TABLE", []),
    ],
)  # fmt: skip
def test_the_names_that_statements_create(text: str, names: list[str]) -> None:
    assert [made.name for made in creations(text)] == names
