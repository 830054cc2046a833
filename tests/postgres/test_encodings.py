"""Databases with another encoding than UTF8, and bytes that are no text: shown escaped, never an
internal error."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.cli.options import PHRASE
from tests.conftest import apply_migrations
from tests.program import run_inside

CAFE = b"caf\xe9"
SHOWN = "caf\\xe9"
ROWS = b"""
INSERT INTO movies (title, provider_item_id, provider_library_id, year)
SELECT 'M@' || i, 'i@' || i, 'l@', 2000 + i FROM generate_series(1, 20) AS i;
INSERT INTO users (username, provider, provider_user_id) VALUES ('u@', 'emby', 'p@');
INSERT INTO system_settings (key, value) VALUES
    ('media_server_type', 'emby'),
    ('ai_config', '{"embeddings": {"provider": "ollama", "model": "m@"}}')
ON CONFLICT (key) DO UPDATE SET value = excluded.value;
INSERT INTO custom_ai_models (provider, function_type, model_id, embedding_dimensions)
VALUES ('ollama', 'embeddings', 'm@', 256);
INSERT INTO embeddings_256 (movie_id, model, embedding)
SELECT id, CASE WHEN year <= 2005 THEN 'ollama:m@' ELSE 'ollama:old@' END,
    array_fill(0.1, array[256])::halfvec
FROM movies WHERE year <= 2010;
INSERT INTO job_runs (job_name, status, started_at, completed_at, duration_ms, error_message)
VALUES ('j@', 'failed', now(), now(), 1, 'e@');
INSERT INTO job_config (job_name) VALUES ('j@');
INSERT INTO user_ratings (user_id, movie_id, rating, source)
SELECT u.id, m.id, 5, 'manual' FROM users AS u, movies AS m LIMIT 5;
INSERT INTO aperture_migrations (name) VALUES ('9999_@.sql');
INSERT INTO library_config (provider_library_id, name, collection_type)
VALUES ('l@', 'L@', 'movies');
UPDATE backup_config
SET backup_path = '/b@', last_backup_filename = 'f@', last_backup_at = now(),
    last_backup_size_bytes = 1;
"""
OBJECTS = b"""
CREATE TABLE "t@" (id int PRIMARY KEY, "c@" int);
INSERT INTO "t@" VALUES (1, 1);
CREATE UNLOGGED TABLE "u@" ();
CREATE SCHEMA "s@";
CREATE TABLE "s@"."t@" ();
CREATE INDEX "i@" ON "t@" ("c@");
CREATE INDEX "j@" ON "t@" ("c@");
ALTER TABLE "t@" ADD CONSTRAINT "k@" CHECK (id > 0) NOT VALID;
CREATE FUNCTION "f@"() RETURNS int LANGUAGE sql AS 'SELECT 1';
"""
READING = [
    ["stats"], ["stats", "--estimate"], ["stats", "--tables"], ["stats", "--json"],
    ["stats", "--record"], ["stats", "--history"],
    ["health"], ["health", "-v"], ["health", "--json"], ["health", "--format", "nagios"],
    ["health", "--format", "prometheus"],
    ["migrate", "--status"], ["migrate", "--check"], ["migrate", "--dry-run"], ["migrate"],
    ["clean"], ["clean", "--json"],
    ["relink", "--keep"], ["relink"], ["relink", "--users"], ["relink", "--show", "pending"],
    ["vacuum", "--dry-run"], ["vacuum"], ["vacuum", "--analyze-only", "--json"],
    ["vacuum", "--full", "--confirm", PHRASE], ["vacuum", "--reindex-hnsw"],
    ["check-extensions"], ["check-extensions", "--probe"],
    ["purge", "--what", "movies", "--dry-run"], ["purge", "--what", "everything", "--dry-run"],
]  # fmt: skip


def make_database(admin_conninfo: str, encoding: str) -> str:
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        create = "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE 'C'"
        admin.execute(sql.SQL(create).format(sql.Identifier(name), encoding))
    return make_conninfo(admin_conninfo, dbname=name)


@pytest.fixture
def with_encoding(admin_conninfo: str) -> Iterator[Callable[[str], str]]:
    """Makes migrated databases with an encoding; they are dropped after the test."""
    made: list[str] = []

    def make(encoding: str) -> str:
        made.append(make_database(admin_conninfo, encoding))
        apply_migrations(made[-1])
        return made[-1]

    yield make
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        for conninfo in made:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            admin.execute(drop.format(sql.Identifier(str(conninfo_to_dict(conninfo)["dbname"]))))


def plant(conninfo: str, statements: bytes) -> None:
    with psycopg.connect(conninfo, autocommit=True, client_encoding="SQL_ASCII") as conn:
        conn.execute(statements.replace(b"@", CAFE))


@pytest.fixture
def planted(with_encoding: Callable[[str], str]) -> str:
    conninfo = with_encoding("SQL_ASCII")
    plant(conninfo, ROWS + OBJECTS)
    return conninfo


def run(conninfo: str, *arguments: str) -> str:
    """Both streams of a run that has no internal error."""
    outcome = run_inside(*arguments, database=conninfo)
    text = outcome.out + outcome.err
    assert "unexpected" not in text, text
    assert "the check itself failed" not in text
    assert "connection was lost" not in text
    assert "\ufffd" not in text
    text.encode()
    return text


def test_bytes_that_are_no_text_are_shown_escaped_by_every_command(planted: str) -> None:
    shown = {" ".join(arguments): run(planted, *arguments) for arguments in READING}
    assert f"ollama:old{SHOWN}" in shown["stats"]
    assert f"public.t{SHOWN}" in shown["stats --tables"]
    assert f'"k{SHOWN}" of "t{SHOWN}"' in shown["health"]
    assert f"9999_{SHOWN}.sql" in shown["migrate --status"]
    assert f"t{SHOWN}" in shown["vacuum --dry-run"]
    assert f"M{SHOWN}1 (2001)" in shown["purge --what movies --dry-run"] + run(
        planted, "purge", "--what", "movies", "--confirm", PHRASE, "--no-backup"
    ) + run(planted, "relink", "--show", "pending")


def test_such_names_reach_the_server_again_as_they_are(planted: str, tmp_path: Path) -> None:
    """Embeddings are deleted by the names of models, tables are backed up and restored."""
    run(planted, "clean", "--apply", "stale-embeddings", "--confirm", PHRASE)
    with psycopg.connect(planted, client_encoding="SQL_ASCII") as conn:
        models = conn.execute("SELECT DISTINCT model FROM embeddings_256").fetchall()
    assert models == [(b"ollama:m" + CAFE,)]
    run(planted, "relink", "--keep")
    run(planted, "relink", "--export", str(tmp_path / "kept"))
    run(planted, "relink", "--forget", "--confirm", PHRASE)
    assert "5" in run(planted, "relink", "--import", str(tmp_path / "kept"))
    backup = run_inside("backup", "--dir", str(tmp_path), database=planted)
    assert backup.code == 0, backup.err
    [dump] = tmp_path.glob("*.dump")
    plant(planted, b"""DELETE FROM "t@"; UPDATE movies SET title = 'other';""")
    done = run_inside(
        "restore", str(dump), "--confirm", PHRASE, "--dir", str(tmp_path), database=planted
    )
    assert done.code == 0, done.err
    with psycopg.connect(planted, client_encoding="SQL_ASCII") as conn:
        titles = conn.execute("SELECT count(*) FROM movies WHERE title LIKE 'Mcaf%'").fetchone()
        assert titles == (20,)
        assert conn.execute(b'SELECT count(*) FROM "t' + CAFE + b'"').fetchone() == (1,)


def test_a_dump_with_such_bytes_does_not_fit_utf8(
    planted: str, aperture_database: Callable[[], str], tmp_path: Path
) -> None:
    run(planted, "backup", "--dir", str(tmp_path))
    [dump] = tmp_path.glob("*.dump")
    outcome = run_inside(
        "restore", str(dump), "--confirm", PHRASE, "--dir", str(tmp_path), "--json",
        database=aperture_database(),
    )  # fmt: skip
    error = outcome.envelope["error"]
    assert error["code"] == "encoding"
    assert error["next"].startswith("use a database with the encoding UTF8, or correct")
    plant(planted, b'DROP TABLE "t@", "u@"; DROP SCHEMA "s@" CASCADE; DROP FUNCTION "f@";')
    dump.unlink()
    run(planted, "backup", "--dir", str(tmp_path))
    [dump] = tmp_path.glob("aperture_backup_*.dump")
    outcome = run_inside(
        "restore", str(dump), "--confirm", PHRASE, "--dir", str(tmp_path), "--json",
        database=aperture_database(),
    )  # fmt: skip
    error = outcome.envelope["error"]
    assert error["code"] == "restore_failed"
    assert "22021" in error["cause"]
    assert error["next"].startswith("correct these rows in the database that was dumped")


def test_the_name_of_a_role_is_in_the_encoding_of_another_database(
    with_encoding: Callable[[str], str], aperture_database: Callable[[], str], tmp_path: Path
) -> None:
    """Roles are shared by all databases."""
    elsewhere, conninfo = with_encoding("SQL_ASCII"), aperture_database()
    plant(elsewhere, b'CREATE ROLE "test_role_@" LOGIN CONNECTION LIMIT 1')
    try:
        for arguments in (
            ["stats"], ["health", "-v"], ["report", "--output", str(tmp_path / "r.html")],
            ["check-extensions"], ["vacuum", "--dry-run"], ["clean"],
        ):  # fmt: skip
            run(conninfo, *arguments)
    finally:
        plant(elsewhere, b'DROP ROLE "test_role_@"')


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP"])
def test_another_encoding_is_warned_about_and_works(
    encoding: str,
    with_encoding: Callable[[str], str],
    aperture_database: Callable[[], str],
    tmp_path: Path,
) -> None:
    conninfo = with_encoding(encoding)
    word = {"LATIN1": "café", "EUC_JP": "映画"}[encoding]
    with psycopg.connect(conninfo, autocommit=True, client_encoding="UTF8") as conn:
        conn.execute(f'CREATE TABLE "{word}" (id int)'.encode())
        conn.execute(f'INSERT INTO "{word}" VALUES (1)'.encode())
        add = "INSERT INTO movies (title, provider_item_id) VALUES (%s, 'x')"
        conn.execute(add, [word])
    for arguments in (["check-extensions"], ["migrate", "--dry-run"], ["migrate"]):
        warned = " ".join(run(conninfo, *arguments).split())
        assert f"warning: the database's encoding is {encoding}" in warned
        assert "ENCODING 'UTF8' TEMPLATE template0" in warned
    assert word in run(conninfo, "stats", "--tables")
    checks = run_inside("health", "--json", database=conninfo).envelope["data"]["checks"]
    check = next(check for check in checks if check["id"] == "encoding")
    assert (check["status"], check["value"]) == ("warning", encoding)
    assert any("ENCODING 'UTF8'" in step and step.endswith(";") for step in check["advice"])
    backup = run_inside("backup", "--dir", str(tmp_path), database=conninfo)
    assert backup.code == 0, backup.err
    [dump] = tmp_path.glob("*.dump")
    other = aperture_database()
    for place in (conninfo, other):
        done = run_inside(
            "restore", str(dump), "--confirm", PHRASE, "--dir", str(tmp_path), database=place
        )
        assert done.code == 0, done.err
        with psycopg.connect(place, client_encoding="UTF8") as conn:
            assert conn.execute("SELECT title FROM movies").fetchall() == [(word,)]
            assert conn.execute(f'SELECT id FROM "{word}"'.encode()).fetchall() == [(1,)]
    checks = run_inside("health", "--json", database=other).envelope["data"]["checks"]
    assert next(check for check in checks if check["id"] == "encoding")["status"] == "ok"


def test_a_letter_that_the_encoding_lacks(
    with_encoding: Callable[[str], str], aperture_database: Callable[[], str], tmp_path: Path
) -> None:
    origin = aperture_database()
    with psycopg.connect(origin, autocommit=True, client_encoding="UTF8") as conn:
        conn.execute(ROWS.replace(b"@", "映画".encode()))
    run(origin, "relink", "--keep")
    run(origin, "relink", "--export", str(tmp_path / "kept"))
    conninfo = with_encoding("LATIN1")
    outcome = run_inside("relink", "--import", str(tmp_path / "kept"), "--json", database=conninfo)
    error = outcome.envelope["error"]
    assert error["code"] == "encoding"
    assert 'has no equivalent in encoding "LATIN1"' in error["cause"]
    assert error["next"].startswith("use a database with the encoding UTF8")


def test_the_advice_for_another_encoding_is_followed(with_encoding: Callable[[str], str]) -> None:
    conninfo = with_encoding("LATIN1")
    checks = run_inside("health", "--json", database=conninfo).envelope["data"]["checks"]
    [statement] = [
        step
        for check in checks
        if check["id"] == "encoding"
        for step in check["advice"]
        if step.endswith(";")
    ]
    name = f"{conninfo_to_dict(conninfo)['dbname']}_utf8"
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(statement.encode())
        try:
            with psycopg.connect(conninfo, dbname=name) as made:
                assert made.info.parameter_status("server_encoding") == "UTF8"
        finally:
            conn.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
