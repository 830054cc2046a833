"""References to what is gone, constraints, collations and checksums."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.damaged import OVERWRITTEN, copy_with_damage, lose_an_entry
from tests.health.conftest import cloning, follow_advice, read_check, read_health
from tests.health.test_queries import execute
from tests.servers.clusters import create_cluster, start_on_free_port, superuser_conninfo
from tests.servers.programs import server_under_test
from tests.servers.roles import Rights
from tests.servers.shared import SharedServers

GONE = uuid4()
ORPHANS = {
    "verdicts": "INSERT INTO similarity_validation_cache (source_id, target_id, source_type, "
    f"target_type, is_valid) SELECT id, '{GONE}', 'movie', 'series', true FROM movies LIMIT 1",
    "channel-examples": f"UPDATE channels SET example_movie_ids = '{{{GONE}}}' || "
    "(SELECT array_agg(id) FROM (SELECT id FROM movies LIMIT 2) AS two) "
    "WHERE id = (SELECT id FROM channels LIMIT 1)",
    "graph-playlists": f"UPDATE graph_playlists SET source_item_id = '{GONE}' "
    "WHERE id = (SELECT id FROM graph_playlists LIMIT 1)",
    "movie-libraries": "UPDATE movies SET provider_library_id = 'gone' "
    "WHERE id = (SELECT id FROM movies LIMIT 1)",
    "series-libraries": "UPDATE series SET provider_library_id = 'gone' "
    "WHERE id = (SELECT id FROM series LIMIT 1)",
    "excluded-libraries": "UPDATE user_preferences SET settings = settings || "
    """'{"excludedLibraryIds": ["gone"]}' """
    "WHERE id = (SELECT id FROM user_preferences LIMIT 1)",
    "collections": "UPDATE movies SET collection_id = 'gone' "
    "WHERE id = (SELECT id FROM movies LIMIT 1)",
    "images": "INSERT INTO media_images (entity_type, entity_id, image_type, file_path, mime_type) "
    "VALUES ('library', '4711', 'Primary', '/gone.jpg', 'image/jpeg')",
    "models": "INSERT INTO custom_ai_models (provider, function_type, model_id) "
    "VALUES ('ollama', 'chat', 'forgotten')",
}


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        (
            "trigger_movies_search_vector",
            "trigger_movies_search_vector of movies is disabled",
        ),
        ("ALL", "episodes_series_id_fkey is not enforced"),
    ],
)
def test_triggers_that_are_disabled(migrated: str, which: str, reason: str) -> None:
    table = "episodes" if which == "ALL" else "movies"
    before = read_health(migrated)
    assert before["disabled-triggers"]["summary"] == "none"
    execute(migrated, f"ALTER TABLE {table} DISABLE TRIGGER {which}")
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"disabled-triggers"}
    check = reading["disabled-triggers"]
    assert check["status"] == "warning"
    assert any(reason in finding["reason"] for finding in check["findings"])
    follow_advice(migrated, check)
    assert read_health(migrated).changed_since(before) == set()


@pytest.mark.parametrize("name", ORPHANS)
def test_orphans_of_every_kind(library: str, name: str) -> None:
    follow_advice(library, read_check(library, "orphaned-rows"))
    execute(library, "DELETE FROM custom_ai_models")
    before = read_health(library)
    assert before["orphaned-rows"]["status"] == "ok", before["orphaned-rows"]
    execute(library, ORPHANS[name])
    reading = read_health(library)
    assert reading.changed_since(before) == {"orphaned-rows"}
    check = reading["orphaned-rows"]
    assert (check["status"], check["value"]) == ("info", 1)
    assert [finding["object"] for finding in check["findings"]] == [name]
    assert check["advice"]
    strict = read_check(library, "orphaned-rows", "--warn", "orphaned-rows=1")
    assert strict["status"] == "warning"
    ignored = read_check(library, "orphaned-rows", "--ignore", f"orphaned-rows:{name}")
    assert (ignored["status"], ignored["summary"]) == ("ok", "1 (1 ignored)")
    if any(step.endswith(";") or step.startswith("aperture-db") for step in check["advice"]):
        follow_advice(library, check)
        assert read_health(library).changed_since(before) == set()


def test_examples_that_are_there_stay(library: str) -> None:
    execute(library, ORPHANS["channel-examples"])
    kept = "SELECT example_movie_ids FROM channels ORDER BY id"
    with psycopg.connect(library, autocommit=True) as conn:
        before = [[e for e in (ids or []) if e != GONE] for (ids,) in conn.execute(kept)]
        follow_advice(library, read_check(library, "orphaned-rows"))
        assert [ids or [] for (ids,) in conn.execute(kept)] == before


def test_a_constraint_that_was_never_checked(migrated: str) -> None:
    before = read_health(migrated)
    execute(
        migrated, "ALTER TABLE users ADD CONSTRAINT \"Has name\" CHECK (username <> '') NOT VALID"
    )
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"constraints"}
    assert reading["constraints"]["advice"] == ['ALTER TABLE users VALIDATE CONSTRAINT "Has name";']
    follow_advice(migrated, reading["constraints"])
    assert read_health(migrated).changed_since(before) == set()


@pytest.fixture
def with_icu(postgres15: str) -> Iterator[str]:
    """A database whose default collation is one of ICU, which knows versions."""
    name = f"test_{uuid4().hex}"
    execute(
        postgres15,
        f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'",
    )
    yield make_conninfo(postgres15, dbname=name)
    execute(postgres15, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    ("name", "update"),
    [
        ("german", "UPDATE pg_collation SET collversion = '1.2' WHERE collname = 'german'"),
        (
            "the database's default",
            "UPDATE pg_database SET datcollversion = '1.2' WHERE datname = current_database()",
        ),
    ],
)
def test_a_collation_that_has_changed(with_icu: str, name: str, update: str) -> None:
    execute(
        with_icu,
        "CREATE COLLATION german (provider = icu, locale = 'de')",
        "CREATE TABLE words (word text COLLATE german PRIMARY KEY)",
    )
    before = read_health(with_icu)
    assert before["collation-version"]["status"] == "ok"
    execute(with_icu, update)
    reading = read_health(with_icu)
    assert reading.changed_since(before) == {"collation-version"}
    check = reading["collation-version"]
    assert check["reason"].startswith(f"{name} collation was version 1.2 when the indexes were")
    follow_advice(with_icu, check)
    assert read_health(with_icu).changed_since(before) == set()


@pytest.fixture
def damaged_server(servers: SharedServers) -> Iterator[str]:
    """A server with a page that was overwritten on the disk, for one test at a time: failed
    checksums are counted for the whole server."""
    answer = servers.get("damaged", start_damaged_server)
    with servers.exclusive("damaged"):
        yield answer["conninfo"]


def start_damaged_server(home: Path) -> dict[str, str]:
    cluster, password = create_cluster(server_under_test(), home)
    running = start_on_free_port(cluster)
    conninfo = superuser_conninfo(running, password)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("CREATE TABLE pages AS SELECT repeat('x', 100) FROM generate_series(1, 1000)")
        row = conn.execute("SELECT pg_relation_filepath('pages')").fetchone()
        assert row is not None
    running.stop()
    with (cluster.data / row[0]).open("r+b") as file:
        file.seek(100)
        file.write(b"damage")
    conninfo = superuser_conninfo(start_on_free_port(cluster), password)
    with (
        psycopg.connect(conninfo, autocommit=True) as conn,
        pytest.raises(psycopg.errors.DataCorrupted),
    ):
        conn.execute("SELECT count(*) FROM pages")
    return {"conninfo": conninfo}


def test_a_page_with_a_wrong_checksum_is_critical(damaged_server: str) -> None:
    check = read_check(damaged_server, "checksums")
    assert check["status"] == "critical"
    assert check["reason"].startswith("1 pages of postgres failed their checksum, the last one at")


def test_a_server_without_checksums_says_so(postgres15: str) -> None:
    check = read_check(postgres15, "checksums")
    assert (check["status"], check["summary"]) == ("info", "off")


def test_tables_that_can_t_be_read_are_no_proof(
    library: str, role_of: Callable[[str, Rights], str]
) -> None:
    reading = read_health(role_of(library, "none"))
    blind = {name for name, check in reading.checks.items() if check["status"] == "skipped"}
    assert blind >= {
        "orphaned-rows", "default-rows", "failed-jobs", "expired-sessions", "migrations",
        "sequential-scans", "work-mem",
    }  # fmt: skip
    assert reading.code == 0
    check = reading["failed-jobs"]
    assert check["skipped_because"] == "privilege"
    assert json.dumps(check["advice"]).count("GRANT SELECT ON") == 1
    many = reading["stale-embeddings"]
    assert "embeddings_256" in many["reason"]
    assert " and 18 more" in many["reason"]
    assert many["advice"][0].startswith('GRANT SELECT ON ALL TABLES IN SCHEMA "public" TO ')


INTEGRITY = "index-integrity"


def test_indexes_are_compared_with_their_tables_on_request(library: str) -> None:
    assert INTEGRITY not in read_health(library).checks
    execute(library, "CREATE EXTENSION amcheck SCHEMA public")
    check = read_check(library, INTEGRITY)
    assert check["status"] == "ok"
    assert int(check["summary"].partition(" ")[0].replace(",", "")) > 200


def test_an_index_that_lacks_an_entry_is_critical(library: str) -> None:
    execute(library, "CREATE EXTENSION amcheck SCHEMA public")
    lose_an_entry(library)
    check = read_check(library, INTEGRITY)
    assert (check["status"], check["value"]) == ("critical", 1)
    assert check["reason"].startswith("index notes_pkey is damaged: heap tuple ")
    follow_advice(library, check)
    assert read_check(library, INTEGRITY)["status"] == "ok"


def test_an_index_over_a_function_that_gives_other_results_is_critical(library: str) -> None:
    execute(
        library,
        "CREATE EXTENSION amcheck SCHEMA public",
        "CREATE FUNCTION folded(text) RETURNS text IMMUTABLE LANGUAGE sql RETURN lower($1)",
        "CREATE INDEX movies_folded ON movies (folded(title))",
        "CREATE OR REPLACE FUNCTION folded(text) RETURNS text IMMUTABLE LANGUAGE sql "
        "RETURN upper($1)",
    )
    check = read_check(library, INTEGRITY)
    assert [finding["object"] for finding in check["findings"]] == ["movies_folded"]
    follow_advice(library, check)
    assert read_check(library, INTEGRITY)["status"] == "ok"


@pytest.mark.parametrize("kind", OVERWRITTEN)
def test_an_index_with_damaged_pages_is_critical(damaged_server: str, kind: str) -> None:
    with cloning(damaged_server) as clone:
        database = clone("template1")
        execute(database, "CREATE EXTENSION amcheck SCHEMA public")
        damaged = copy_with_damage(database, clone, kind)
        check = read_check(damaged, INTEGRITY)
        assert check["status"] == "critical", check
        assert check["findings"][0]["object"] == "notes_pkey"
        follow_advice(damaged, check)
        assert read_check(damaged, INTEGRITY)["status"] == "ok"


def test_indexes_cannot_be_compared_without_amcheck(library: str) -> None:
    reading = read_health(library, "--only", INTEGRITY)
    check = reading[INTEGRITY]
    assert (check["status"], check["skipped_because"]) == ("skipped", "failed")
    assert reading.code == 3
    assert check["advice"] == ["CREATE EXTENSION amcheck;"]
    follow_advice(library, check)
    assert read_check(library, INTEGRITY)["status"] == "ok"


def test_amcheck_needs_a_privilege(library: str, role_of: Callable[[str, Rights], str]) -> None:
    execute(library, "CREATE SCHEMA tools", "CREATE EXTENSION amcheck SCHEMA tools")
    reader = role_of(library, "read")
    check = read_check(reader, INTEGRITY)
    assert (check["status"], check["skipped_because"]) == ("skipped", "privilege")
    assert len(check["advice"]) == 2
    follow_advice(library, check)
    assert read_check(reader, INTEGRITY)["status"] == "ok"


def test_comparing_indexes_ends_in_its_time(library: str) -> None:
    execute(
        library,
        "CREATE EXTENSION amcheck SCHEMA public",
        "CREATE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE sql RETURN $1",
        "CREATE INDEX movies_slow ON movies (slow(title))",
        "CREATE OR REPLACE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_sleep(60); RETURN $1; END'",
    )
    check = read_check(library, INTEGRITY, "--timeout", "3s")
    assert (check["status"], check["skipped_because"]) == ("skipped", "timeout")
    assert check["reason"].endswith("indexes checked within 3 s, none damaged")
    assert check["advice"] == ["aperture-db health --only index-integrity --timeout 36"]
