"""Whatever else a database holds beside Aperture's tables, its own backup can be restored."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from aperture_db.dumps.contents import ContentsRead, read_contents
from tests.cli import Outcome
from tests.dump_files import PHRASE, execute, fetch_one, make_dump, read_rows
from tests.program import run_inside
from tests.servers.roles import Rights

NewDatabase = Callable[[], str]

NATIVE = (
    "CREATE FUNCTION upper_c(text) RETURNS text LANGUAGE internal IMMUTABLE STRICT AS 'upper'",
    "CREATE INDEX movies_upper ON movies (public.upper_c(title))",
)
KINDS = {
    "collation": ("CREATE COLLATION de (LOCALE = 'C')",),
    "conversion": ("CREATE CONVERSION c FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",),
    "operator": (
        "CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, PROCEDURE = pg_catalog.texteq)",
    ),
    "operator class": (
        (
            "CREATE OPERATOR CLASS own_ops FOR TYPE int4 USING hash AS OPERATOR 1 =, "
            "FUNCTION 1 hashint4(int4)"
        ),
    ),
    "operator family": ("CREATE OPERATOR FAMILY own_family USING hash",),
    "configuration": (
        "CREATE TEXT SEARCH CONFIGURATION plain (COPY = simple)",
        "ALTER TEXT SEARCH CONFIGURATION plain ALTER MAPPING FOR word WITH simple",
    ),
    "dictionary": ("CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = pg_catalog.simple)",),
    "parser": (
        (
            "CREATE TEXT SEARCH PARSER p (START = prsd_start, GETTOKEN = prsd_nexttoken, "
            "END = prsd_end, LEXTYPES = prsd_lextype)"
        ),
    ),
    "template": ("CREATE TEXT SEARCH TEMPLATE t (LEXIZE = dsimple_lexize, INIT = dsimple_init)",),
    "shell type": ("CREATE TYPE unfinished",),
    "internal function": NATIVE,
    "domain, enum, range, composite": (
        "CREATE DOMAIN short AS text CHECK (length(VALUE) < 9)",
        "CREATE TYPE mood AS ENUM ('good')",
        "CREATE TYPE span AS RANGE (SUBTYPE = int)",
        "CREATE TYPE pair AS (a int, b int)",
    ),
    "aggregate": (
        "CREATE AGGREGATE total(int) (SFUNC = pg_catalog.int4pl, STYPE = int, INITCOND = '0')",
    ),
    "statistics": ("CREATE STATISTICS movie_stats ON title, year FROM movies",),
    "schema with a view": (
        "CREATE SCHEMA reporting",
        "CREATE VIEW reporting.titles AS SELECT title FROM public.movies",
    ),
    "schema with a function": (
        "CREATE SCHEMA tools",
        "CREATE FUNCTION tools.one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
    "schema with types": ("CREATE SCHEMA types", "CREATE TYPE types.mood AS ENUM ('good')"),
    "schema with a collation": (
        "CREATE SCHEMA words",
        "CREATE COLLATION words.de (LOCALE = 'C')",
    ),
}


def restore(file: Path, conninfo: str, *options: str) -> Outcome:
    return run_inside("restore", str(file), "--confirm", PHRASE, *options, database=conninfo)


@pytest.mark.parametrize("statements", KINDS.values(), ids=KINDS.keys())
def test_a_backup_goes_back_into_its_database_and_can_be_undone(
    statements: tuple[str, ...], aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    execute(conninfo, *statements, "INSERT INTO movies (provider_item_id, title) VALUES ('1', 'a')")
    made = run_inside("backup", "--dir", str(tmp_path), database=conninfo)
    assert made.code == 0, made.err
    assert "verified" in made.out
    assert "not verified" not in made.out + made.err
    (file,) = tmp_path.iterdir()
    before = read_rows(conninfo)
    execute(conninfo, "UPDATE movies SET title = 'b'")
    outcome = restore(file, conninfo, "--json")
    if "reporting" in str(statements):
        # A view of somebody else's on Aperture's table is named, and nothing is changed.
        assert outcome.envelope["error"]["code"] == "dependent_objects"
        return
    assert outcome.code == 0, outcome.err
    assert read_rows(conninfo) == before
    undo = shlex.split(outcome.envelope["data"]["undo_command"])
    undone = run_inside(*undo[1:], "--confirm", PHRASE, database=conninfo)
    assert undone.code == 0, undone.err
    assert fetch_one(conninfo, "SELECT title FROM movies") == "b"


@pytest.mark.parametrize("statements", KINDS.values(), ids=KINDS.keys())
def test_a_backup_goes_into_an_empty_database(
    statements: tuple[str, ...],
    aperture_database: NewDatabase,
    new_database: NewDatabase,
    tmp_path: Path,
) -> None:
    conninfo, empty = aperture_database(), new_database()
    execute(conninfo, *statements)
    file = make_dump(conninfo, tmp_path).path
    if statements is NATIVE:
        refused = restore(file, empty)
        assert refused.code == 1
        assert "create upper_c(text) first" in refused.err
        assert fetch_one(empty, "SELECT to_regclass('public.movies')") is None
        execute(empty, NATIVE[0])
    outcome = restore(file, empty)
    assert outcome.code == 0, outcome.err
    assert read_rows(empty) == read_rows(conninfo)


def test_a_function_in_c_is_never_made_from_a_dump(
    aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo, empty = aperture_database(), new_database()
    execute(conninfo, NATIVE[0])
    outcome = restore(make_dump(conninfo, tmp_path).path, empty)
    assert outcome.code == 0, outcome.err
    assert "upper_c(text) is written in C" in outcome.err
    assert fetch_one(empty, "SELECT count(*) FROM pg_proc WHERE proname = 'upper_c'") == 0


FOREIGN = (
    "CREATE TABLE users (id int PRIMARY KEY, name text)",
    "INSERT INTO users SELECT i, 'user' || i FROM generate_series(1, 1000) AS i",
    "CREATE TABLE sessions (id int)",
    "CREATE TABLE system_settings (key text)",
)


def test_the_database_of_another_application_is_refused(
    aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    file = make_dump(aperture_database(), tmp_path).path
    other = new_database()
    execute(other, *FOREIGN)
    before = read_rows(other)
    for options in ((), ("--dry-run",), ("--others", "keep")):
        outcome = restore(file, other, *options)
        assert outcome.code == 2
        assert "this is not Aperture's database" in outcome.err
        assert "sessions, system_settings, users" in outcome.err
    assert read_rows(other) == before


def test_a_restore_over_others_tables_by_decision_can_be_undone(
    aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    file = make_dump(aperture_database(), tmp_path).path
    other = new_database()
    execute(other, *FOREIGN, "CREATE TABLE orders (id int)", "INSERT INTO orders VALUES (1)")
    before = read_rows(other)
    outcome = restore(file, other, "--others", "drop", "--json")
    assert outcome.code == 0, outcome.err
    undo = shlex.split(outcome.envelope["data"]["undo_command"])
    undone = run_inside(*undo[1:], "--confirm", PHRASE, database=other)
    assert undone.code == 0, undone.err
    assert read_rows(other) == before


def test_a_restore_beside_others_tables_can_be_undone(
    aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    file = make_dump(aperture_database(), tmp_path).path
    other = new_database()
    execute(other, "CREATE TABLE orders (id int)", "INSERT INTO orders VALUES (1)")
    before = read_rows(other)
    outcome = restore(file, other, "--json")
    assert outcome.code == 0, outcome.err
    undo = shlex.split(outcome.envelope["data"]["undo_command"])
    undone = run_inside(*undo[1:], "--confirm", PHRASE, database=other)
    assert undone.code == 0, undone.err
    assert read_rows(other) == before


def test_a_tablespace_and_an_access_method_that_the_server_lacks(
    aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo, empty = aperture_database(), new_database()
    execute(
        conninfo,
        "CREATE ACCESS METHOD other_heap TYPE TABLE HANDLER heap_tableam_handler",
        "CREATE TABLE notes (id int) USING other_heap",
        "INSERT INTO notes VALUES (1)",
    )
    file = make_dump(conninfo, tmp_path).path
    outcome = restore(file, empty)
    assert outcome.code == 0, outcome.err
    assert "the access method other_heap is not there" in outcome.err
    assert fetch_one(empty, "SELECT count(*) FROM notes") == 1


def test_every_object_gets_its_previous_owner(
    aperture_database: NewDatabase, limited_role: Callable[[str, Rights], str], tmp_path: Path
) -> None:
    conninfo = aperture_database()
    role = conninfo_to_dict(limited_role(conninfo, "read"))["user"]
    file = make_dump(conninfo, tmp_path).path
    execute(
        conninfo,
        f"GRANT CREATE ON SCHEMA public TO {role}",
        f"ALTER TABLE movies OWNER TO {role}",
        f"ALTER FUNCTION update_updated_at_column() OWNER TO {role}",
    )
    assert restore(file, conninfo).code == 0
    owners = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = '{}'"
    assert fetch_one(conninfo, owners.format("movies")) == role
    assert fetch_one(conninfo, owners.format("series")) != role
    function = "SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE proname = '{}'"
    assert fetch_one(conninfo, function.format("update_updated_at_column")) == role


@pytest.mark.parametrize(
    "command", [("purge", "--what", "movies"), ("restore", "FILE")], ids=lambda words: words[0]
)
def test_nothing_is_deleted_on_a_safety_backup_that_restore_would_refuse(
    command: tuple[str, ...],
    sample_database: NewDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conninfo = sample_database()
    file = make_dump(conninfo, tmp_path).path
    before = read_rows(conninfo)
    words = [str(file) if word == "FILE" else word for word in command]
    with monkeypatch.context() as patch:
        patch.setattr("aperture_db.dumps.script.MOST_ENTRIES", 100)
        made = run_inside("backup", "--dir", str(tmp_path), "--keep", "1", database=conninfo)
        assert made.code == 0, made.err
        assert "aperture-db restore would refuse it" in made.err
        assert "not verified" in made.out
    assert file.exists()
    execute(conninfo, *(f"CREATE TABLE extra_{i} ()" for i in range(300)))
    monkeypatch.setattr("aperture_db.dumps.script.MOST_ENTRIES", entry_count(file) + 200)
    before = read_rows(conninfo)
    outcome = run_inside(*words, "--confirm", PHRASE, "--dir", str(tmp_path), database=conninfo)
    assert outcome.code == 1
    assert "aperture-db restore would refuse the safety backup" in outcome.err
    assert read_rows(conninfo) == before
    assert not list(tmp_path.glob("aperture_before_*"))


def entry_count(file: Path) -> int:
    """The number of the entries of a dump."""
    *_, read = read_contents(file)
    assert isinstance(read, ContentsRead)
    return len(read.contents.entries)


def test_logical_replication_is_warned_of(aperture_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = aperture_database()
    file = make_dump(conninfo, tmp_path).path
    execute(
        conninfo,
        "CREATE PUBLICATION films FOR TABLE movies",
        "CREATE SUBSCRIPTION \"from afar\" CONNECTION 'host=nowhere.invalid' PUBLICATION p "
        "WITH (connect = false, enabled = false, create_slot = false, slot_name = NONE)",
        "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) "
        "SELECT oid, 'movies'::regclass, 'r' FROM pg_subscription WHERE subname = 'from afar'",
    )
    try:
        outcome = restore(file, conninfo, "--dry-run")
        assert outcome.code == 0, outcome.err
        assert 'ALTER SUBSCRIPTION "from afar" REFRESH PUBLICATION' in outcome.err
        assert "subscribers of the publication films keep the rows of before" in outcome.err
    finally:
        execute(conninfo, 'DROP SUBSCRIPTION "from afar"')
