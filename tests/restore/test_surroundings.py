"""What a restore finds around Aperture's tables: other sessions, tables, owners, schemas."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.backup.stand_ins import stand_in
from tests.cli import Outcome, finish
from tests.conftest import copy_database
from tests.dump_files import (
    PHRASE,
    execute,
    fetch_one,
    make_dump,
    read_rows,
    read_state,
    start_program,
)
from tests.program import run_inside
from tests.servers.roles import Rights
from tests.terminal import run_at_terminal

NewDatabase = Callable[[], str]
LimitedRole = Callable[[str, Rights], str]


def restore(file: Path, conninfo: str, *options: str) -> Outcome:
    return run_inside("restore", str(file), "--confirm", PHRASE, *options, database=conninfo)


@pytest.fixture
def conninfo(aperture_database: NewDatabase) -> str:
    return aperture_database()


@pytest.fixture(scope="module")
def dump_of_template(
    admin_conninfo: str, aperture_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """What every test here could dump, dumped once."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        copy_database(admin, aperture_template, name)
        conninfo = make_conninfo(admin_conninfo, dbname=name)
        yield make_dump(conninfo, tmp_path_factory.mktemp("dumps")).path
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def dump(dump_of_template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(dump_of_template, tmp_path))


def test_other_sessions_are_listed_and_refused(conninfo: str, dump: Path) -> None:
    before = read_state(conninfo)
    with psycopg.connect(conninfo, application_name="a visitor") as visitor:
        visitor.execute("SELECT 1")

        outcome = restore(dump, conninfo)

        assert outcome.code == 6
        assert f"pid {visitor.info.backend_pid}, a visitor, idle in transaction" in outcome.err
        assert "user postgres" in outcome.err
        assert "--terminate-sessions" in outcome.err
    assert read_state(conninfo) == before
    assert list(dump.parent.iterdir()) == [dump]


def test_other_sessions_are_ended_on_request(conninfo: str, dump: Path) -> None:
    with psycopg.connect(conninfo) as visitor:
        visitor.execute("UPDATE users SET is_admin = false")

        outcome = restore(dump, conninfo, "--terminate-sessions")

        assert outcome.code == 0, outcome.err
        with pytest.raises(psycopg.OperationalError):
            visitor.execute("SELECT 1")


def test_a_prepared_transaction_is_named(conninfo: str, dump: Path) -> None:
    """It holds locks, and no session can be ended to free them."""
    setting = fetch_one(conninfo, "SHOW max_prepared_transactions")
    if setting == "0":
        pytest.skip("the server has max_prepared_transactions = 0")
    name = f"left_{secrets.token_hex(4)}"
    with psycopg.connect(conninfo) as conn:
        conn.execute("DELETE FROM movies")
        conn.execute(f"PREPARE TRANSACTION '{name}'")
    outcome = restore(dump, conninfo)
    execute(conninfo, f"ROLLBACK PREPARED '{name}'")
    assert outcome.code == 6
    assert f"ROLLBACK PREPARED '{name}'" in outcome.err


def test_tables_of_others_stay(conninfo: str, dump: Path) -> None:
    execute(
        conninfo,
        "CREATE TABLE notes AS SELECT 'keep me' AS text",
        "CREATE SCHEMA reports",
        "CREATE VIEW reports.numbers AS SELECT 1 AS n",
    )
    outcome = restore(dump, conninfo)
    assert outcome.code == 0, outcome.err
    assert "Will be kept (not Aperture's): notes, view reports.numbers" in outcome.err
    assert fetch_one(conninfo, "SELECT text FROM notes") == "keep me"
    assert fetch_one(conninfo, "SELECT n FROM reports.numbers") == 1


DEPENDENTS = {
    "view titles": ("CREATE VIEW titles AS SELECT title FROM movies",),
    "constraint of_movie on table notes": (
        "CREATE TABLE notes (movie_id uuid CONSTRAINT of_movie REFERENCES movies)",
    ),
    "function first_movie(movies)": (
        "CREATE FUNCTION first_movie(movies) RETURNS text LANGUAGE sql AS 'SELECT 1'",
    ),
    "trigger touch on table logs": (
        "CREATE TABLE logs (updated_at timestamptz)",
        """
        CREATE TRIGGER touch BEFORE UPDATE ON logs
        FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()
        """,
    ),
}


@pytest.mark.parametrize("shown", DEPENDENTS)
def test_what_depends_on_apertures_tables_is_refused(shown: str, conninfo: str, dump: Path) -> None:
    execute(conninfo, *DEPENDENTS[shown])
    before = read_state(conninfo)

    outcome = restore(dump, conninfo)

    assert outcome.code == 1
    assert shown in outcome.err
    assert read_state(conninfo) == before
    assert list(dump.parent.iterdir()) == [dump]


def test_what_is_in_the_dump_comes_back_with_it(conninfo: str, tmp_path: Path) -> None:
    execute(
        conninfo,
        "CREATE VIEW titles AS SELECT title FROM movies",
        "CREATE TABLE notes AS SELECT 'then' AS text",
        "CREATE TYPE mood AS ENUM ('good', 'bad')",
        "CREATE MATERIALIZED VIEW counts AS SELECT count(*) FROM titles",
        "CREATE SEQUENCE numbers START 7",
        "CREATE DOMAIN stars AS integer CHECK (VALUE BETWEEN 1 AND 5)",
        "CREATE TYPE pair AS (one integer, two stars)",
        "CREATE PROCEDURE nothing(stars) LANGUAGE sql AS 'SELECT 1'",
        "CREATE AGGREGATE total(integer) (sfunc = int4pl, stype = integer)",
        "CREATE FUNCTION twice(a integer) RETURNS integer BEGIN ATOMIC SELECT 2 * a; END",
        "CREATE TABLE parts (id integer, stars stars) PARTITION BY RANGE (id)",
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (9)",
        "INSERT INTO parts VALUES (1, 5), (2, 4)",
        "CREATE TABLE parents (id serial, note text DEFAULT 'it''s; -- \\ $$')",
        "CREATE TABLE children () INHERITS (parents)",
        "INSERT INTO children (note) VALUES (E'tab\\tand\\nline\\\\.'), (NULL), ('')",
        "COMMENT ON TABLE notes IS E'two\\nlines; COPY x FROM stdin;'",
    )
    before = read_state(conninfo)
    dump = make_dump(conninfo, tmp_path).path
    execute(conninfo, "UPDATE notes SET text = 'now'")

    outcome = restore(dump, conninfo)

    assert outcome.code == 0, outcome.err
    (shown,) = (line for line in outcome.err.splitlines() if line.startswith("Will be replaced"))
    assert "(not Aperture's, but in the dump): " in shown
    assert {"notes", "view titles", "type mood"} <= set(shown.partition(": ")[2].split(", "))
    assert read_state(conninfo) == before
    assert fetch_one(conninfo, "SELECT nextval('numbers')") == 7


def test_names_that_need_quotes(conninfo: str, tmp_path: Path) -> None:
    execute(
        conninfo,
        'CREATE TABLE "My ""Notes""" AS SELECT \'then\' AS "Text"',
        'CREATE FUNCTION "F x"("My ""Notes""") RETURNS integer LANGUAGE sql AS \'SELECT 1\'',
        'GRANT SELECT ("Text") ON "My ""Notes""" TO pg_monitor',
    )
    before = read_rows(conninfo)
    dump = make_dump(conninfo, tmp_path).path
    execute(conninfo, 'UPDATE "My ""Notes""" SET "Text" = \'now\'')

    outcome = restore(dump, conninfo)

    assert outcome.code == 0, outcome.err
    assert 'in the dump): function F x, My "Notes"' in outcome.err
    assert read_rows(conninfo) == before
    holds = "SELECT has_column_privilege('pg_monitor', oid, 'Text', 'SELECT') FROM pg_class "
    assert fetch_one(conninfo, holds + "WHERE relname = 'My \"Notes\"'")


def test_schemas_of_others_in_the_dump(
    conninfo: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Restored where they are missing, left alone where they are not."""
    execute(conninfo, "CREATE SCHEMA other", "CREATE TABLE other.t AS SELECT 'then' AS text")
    dump = make_dump(conninfo, tmp_path).path
    execute(conninfo, "UPDATE other.t SET text = 'now'")
    empty = new_database()

    kept, made = restore(dump, conninfo), restore(dump, empty)

    assert (kept.code, made.code) == (0, 0), kept.err + made.err
    assert "not be restored: schema other" in kept.err
    assert fetch_one(conninfo, "SELECT text FROM other.t") == "now"
    assert fetch_one(empty, "SELECT text FROM other.t") == "then"


def test_a_schema_of_others_with_a_table_named_like_apertures(
    conninfo: str, tmp_path: Path
) -> None:
    execute(conninfo, "CREATE SCHEMA shop", "CREATE TABLE shop.users AS SELECT 'then' AS name")
    dump = make_dump(conninfo, tmp_path).path
    execute(conninfo, "UPDATE shop.users SET name = 'now'")
    outcome = restore(dump, conninfo)
    assert outcome.code == 0, outcome.err
    assert "not be restored: schema shop" in outcome.err
    assert fetch_one(conninfo, "SELECT name FROM shop.users") == "now"


def test_the_tools_own_schema(conninfo: str, new_database: NewDatabase, tmp_path: Path) -> None:
    """Recorded samples belong to the backup; a dump from before them leaves them be."""
    without = make_dump(conninfo, tmp_path).path
    assert run_inside("stats", "--record", database=conninfo).code == 0
    tables = {name for name in read_rows(conninfo) if name.startswith("aperture_db.")}
    assert tables
    rows = read_rows(conninfo)
    with_samples = make_dump(conninfo, tmp_path).path
    assert run_inside("stats", "--record", database=conninfo).code == 0
    empty = new_database()

    for file, target in ((with_samples, conninfo), (with_samples, empty)):
        outcome = restore(file, target)
        assert outcome.code == 0, outcome.err
        assert {name: read_rows(target)[name] for name in tables} == {
            name: rows[name] for name in tables
        }
    assert restore(without, conninfo).code == 0
    assert tables <= set(read_rows(conninfo))


def test_grants_stay(conninfo: str, dump: Path, limited_role: LimitedRole) -> None:
    reader = limited_role(conninfo, "none")
    role = conninfo_to_dict(reader)["user"]
    execute(
        conninfo,
        f'GRANT SELECT, UPDATE ON movies TO "{role}" WITH GRANT OPTION',
        f'GRANT SELECT (id, username) ON users TO "{role}"',
        f'GRANT USAGE ON SEQUENCE aperture_migrations_id_seq TO "{role}"',
        "GRANT SELECT ON series TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION update_updated_at_column() FROM PUBLIC",
        f'GRANT EXECUTE ON FUNCTION update_updated_at_column() TO "{role}" WITH GRANT OPTION',
        f'ALTER DEFAULT PRIVILEGES GRANT SELECT, DELETE ON TABLES TO "{role}"',
    )
    query = (
        "SELECT array_agg(format('%s %s', relname, acl) ORDER BY relname, acl) FROM pg_class, "
        "aclexplode(relacl) AS acl WHERE relnamespace = 'public'::regnamespace "
        "AND acl.grantee <> relowner"
    )
    before = fetch_one(conninfo, query)
    columns = (
        "SELECT attacl::text FROM pg_attribute WHERE attrelid = 'users'::regclass "
        "AND attname = 'username'"
    )
    column = fetch_one(conninfo, columns)
    functions = (
        "SELECT array_agg(format('%s %s', proname, proacl) ORDER BY proname) FROM pg_proc "
        "WHERE pronamespace = 'public'::regnamespace AND prolang <> 13"
    )
    before_functions = fetch_one(conninfo, functions)

    outcome = restore(dump, conninfo)

    assert outcome.code == 0, outcome.err
    assert fetch_one(conninfo, query) == before
    assert fetch_one(conninfo, functions) == before_functions
    assert fetch_one(conninfo, columns) == column


def test_an_owner_who_is_no_superuser(
    sample_database: NewDatabase, limited_role: LimitedRole, tmp_path: Path
) -> None:
    """The usual role of an application: it owns everything but the extensions."""
    conninfo = sample_database()
    owner = limited_role(conninfo, "owner")
    before = read_state(conninfo)
    outcome = run_inside("backup", "--dir", str(tmp_path), database=owner)
    assert outcome.code == 0, outcome.err
    (dump,) = tmp_path.iterdir()
    execute(conninfo, "DELETE FROM movies", "UPDATE users SET username = 'x' || username")

    outcome = restore(dump, owner)

    assert outcome.code == 0, outcome.err
    assert read_state(conninfo) == before


def test_a_superuser_restores_for_the_owner(
    conninfo: str, dump: Path, limited_role: LimitedRole
) -> None:
    """Aperture's role must be able to work with its tables afterwards."""
    owner = limited_role(conninfo, "owner")
    role = str(conninfo_to_dict(owner)["user"])

    outcome = restore(dump, conninfo)

    assert outcome.code == 0, outcome.err
    owners = "SELECT array_agg(DISTINCT {}::text) FROM {} WHERE {}"
    tables = owners.format("tableowner", "pg_tables", "schemaname = 'public'")
    assert fetch_one(conninfo, tables) == [role]
    functions = owners.format(
        "proowner::regrole", "pg_proc", "proname = 'update_updated_at_column'"
    )
    assert fetch_one(conninfo, functions) == [f'"{role}"' if '"' in role else role]


@pytest.mark.parametrize("rights", ["read", "write", "create_tables"])
def test_a_role_that_owns_nothing(
    rights: Rights, conninfo: str, dump: Path, limited_role: LimitedRole
) -> None:
    role = limited_role(conninfo, rights)
    before = read_state(conninfo)

    outcome = restore(dump, role)

    assert outcome.code == 1
    assert "may not replace" in outcome.err
    assert "connect as postgres or as a superuser" in outcome.err
    assert read_state(conninfo) == before


def test_no_right_to_create_in_the_schema(
    new_database: NewDatabase, dump: Path, limited_role: LimitedRole
) -> None:
    outcome = restore(dump, limited_role(new_database(), "write"))
    assert outcome.code == 1
    assert 'GRANT USAGE, CREATE ON SCHEMA "public" TO' in outcome.err


def test_an_extension_that_may_not_be_made(
    new_database: NewDatabase, dump: Path, limited_role: LimitedRole
) -> None:
    empty = new_database()
    outcome = restore(dump, limited_role(empty, "create_tables"))
    assert outcome.code == 1
    assert "as a superuser run: CREATE EXTENSION" in outcome.err
    assert read_rows(empty) == {}


def test_an_extension_in_another_schema(conninfo: str, dump: Path) -> None:
    execute(conninfo, "CREATE SCHEMA extensions", "ALTER EXTENSION vector SET SCHEMA extensions")
    outcome = restore(dump, conninfo)
    assert outcome.code == 1
    assert 'ALTER EXTENSION "vector" SET SCHEMA "public";' in outcome.err


def test_an_extension_in_a_schema_of_its_own(
    conninfo: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """As some services have them; the schema is made where it is missing."""
    extensions = ("vector", "pg_trgm", "pgcrypto")
    moves = [f"ALTER EXTENSION {name} SET SCHEMA extensions" for name in extensions]
    execute(conninfo, "CREATE SCHEMA extensions", *moves)
    dump = make_dump(conninfo, tmp_path).path
    empty = new_database()
    outcome = restore(dump, empty)
    assert outcome.code == 0, outcome.err
    assert read_rows(empty) == read_rows(conninfo)


def test_an_extension_the_server_does_not_have(postgres15: str, dump: Path) -> None:
    outcome = restore(dump, postgres15)
    assert outcome.code == 5
    assert "the extension vector" in outcome.err
    assert "check-extensions" in outcome.err


@pytest.fixture
def database15(postgres15: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(4)}"
    execute(postgres15, f"CREATE DATABASE {name}")
    yield make_conninfo(postgres15, dbname=name)
    execute(postgres15, f"DROP DATABASE {name} WITH (FORCE)")


def test_from_a_newer_server_to_an_older_one_and_back(
    database_at: Callable[[str], str], database15: str, tmp_path: Path
) -> None:
    """The newer pg_dump's archive and settings don't keep the older server from taking it."""
    new = database_at("0001")
    newer = make_dump(new, tmp_path).path

    outcome = restore(newer, database15)

    assert outcome.code == 0, outcome.err
    assert "comes from PostgreSQL 18 and the server is 15" in outcome.err
    assert read_state(database15) == read_state(new)
    older = make_dump(database15, tmp_path)
    assert older.pg_dump_version.startswith("15")
    assert restore(older.path, new).code == 0


NEWER = (
    "INSERT INTO aperture_migrations (name) VALUES ('0999_from_the_future.sql')",
    "CREATE TABLE holograms AS SELECT 1 AS id",
)


def test_tables_of_a_newer_aperture_are_not_guessed_at(conninfo: str, dump: Path) -> None:
    execute(conninfo, *NEWER)
    before = read_state(conninfo)

    outcome = restore(dump, conninfo)

    assert outcome.code == 2
    assert "holograms" in outcome.err
    assert "--others drop" in outcome.err
    assert read_state(conninfo) == before


@pytest.mark.parametrize(("others", "is_there"), [("drop", False), ("keep", True)])
def test_tables_of_a_newer_aperture_as_decided(
    others: str, is_there: bool, conninfo: str, dump: Path
) -> None:
    execute(conninfo, *NEWER)
    outcome = restore(dump, conninfo, "--others", others)
    assert outcome.code == 0, outcome.err
    assert ("public.holograms" in read_rows(conninfo)) is is_there
    fate = "Will be kept (not Aperture's)" if is_there else "Will be dropped (--others drop)"
    assert f"{fate}: holograms" in outcome.err


class TestConfirmation:
    def test_without_a_terminal(self, conninfo: str, dump: Path) -> None:
        outcome = run_inside("restore", str(dump), database=conninfo)
        assert outcome.code == 4
        assert "nothing was changed" in outcome.err
        assert list(dump.parent.iterdir()) == [dump]

    @pytest.mark.parametrize("phrase", ["yes", "Yes I am sure", "yes i am sure", " yes I am sure"])
    def test_another_phrase(self, phrase: str, conninfo: str, dump: Path) -> None:
        outcome = run_inside("restore", str(dump), "--confirm", phrase, database=conninfo)
        assert outcome.code == 4

    @pytest.mark.parametrize(("typed", "code"), [(PHRASE, 0), ("yes", 4)])
    def test_at_a_terminal(self, typed: str, code: int, conninfo: str, dump: Path) -> None:
        status, shown = run_at_terminal(
            "restore", str(dump), conninfo=conninfo, typed=f"{typed}\n", width=60
        )
        assert status == code, shown
        assert "This replaces 80 tables with 151 rows" in shown
        if code == 0:
            # In one piece, to be copied, whatever the terminal's width.
            *_, last = shown.rstrip().splitlines()
            assert last.startswith(f"aperture-db restore {dump.parent}/aperture_before_restore_")
            assert last.endswith(".dump")
        assert str(dump.parent) in shown

    def test_a_dry_run_asks_and_writes_nothing(self, conninfo: str, dump: Path) -> None:
        before = read_state(conninfo)
        outcome = run_inside("restore", str(dump), "--dry-run", database=conninfo)
        assert outcome.code == 0, outcome.err
        assert ["migration", "0114", "0114"] in [line.split() for line in outcome.out.splitlines()]
        assert read_state(conninfo) == before
        assert list(dump.parent.iterdir()) == [dump]


class TestSafetyBackup:
    def test_it_goes_to_apertures_directory(
        self, conninfo: str, tmp_path: Path, dump: Path
    ) -> None:
        backups = tmp_path / "backups"
        backups.mkdir()
        execute(conninfo, f"UPDATE backup_config SET backup_path = '{backups}'")
        assert restore(dump, conninfo).code == 0
        (saved,) = backups.iterdir()
        assert saved.name.startswith("aperture_before_restore_")

    def test_without_it_nothing_undoes_the_restore(self, conninfo: str, dump: Path) -> None:
        outcome = restore(dump, conninfo, "--no-safety-backup")
        assert outcome.code == 0, outcome.err
        assert list(dump.parent.iterdir()) == [dump]
        assert outcome.out.rstrip().endswith("no safety backup was made.")

    def test_without_a_place_for_it_nothing_is_restored(self, conninfo: str, dump: Path) -> None:
        before = read_state(conninfo)
        outcome = restore(dump, conninfo, "--dir", str(dump.parent / "missing"))
        assert outcome.code == 2
        assert "mkdir -p" in outcome.err
        assert read_state(conninfo) == before

    def test_when_it_fails_nothing_is_restored(
        self, conninfo: str, dump: Path, tmp_path: Path
    ) -> None:
        execute(conninfo, "DELETE FROM job_config")
        before = read_state(conninfo)
        path = stand_in(tmp_path / "bin", 'echo "pg_dump: error: a bad block" >&2; exit 1')
        outcome = finish(
            start_program("restore", str(dump), "--confirm", PHRASE, conninfo=conninfo, PATH=path)
        )
        assert outcome.code == 1
        assert "a bad block" in outcome.err
        assert "--no-safety-backup" in outcome.err
        assert read_state(conninfo) == before

    def test_the_retention_leaves_it_alone(self, conninfo: str, dump: Path) -> None:
        directory = dump.parent
        assert restore(dump, conninfo).code == 0
        outcome = run_inside("backup", "--dir", str(directory), "--keep", "1", database=conninfo)
        assert outcome.code == 0
        names = sorted(file.name for file in directory.iterdir())
        assert [name[:16] for name in names] == ["aperture_backup_", "aperture_before_"]


def test_a_bare_name_is_looked_for_among_the_backups(conninfo: str, dump: Path) -> None:
    execute(conninfo, f"UPDATE backup_config SET backup_path = '{dump.parent}'")
    assert restore(Path(dump.name), conninfo).code == 0
    verified = run_inside("backup", "--verify", dump.name, "--dir", str(dump.parent))
    assert verified.code == 0, verified.err


def test_the_database_is_asked_for_before_the_dump_is_read(tmp_path: Path) -> None:
    outcome = restore(tmp_path / "missing.dump", "postgresql://x@127.0.0.1:1/x")
    assert outcome.code == 3


def test_the_json_object(conninfo: str, dump: Path) -> None:
    data = restore(dump, conninfo, "--json").envelope["data"]
    assert data["path"] == str(dump)
    assert data["table_count"] == 80
    assert data["row_count"] == 151
    assert data["undo_command"].startswith(f"aperture-db restore {data['safety_backup']}")


def test_the_json_object_of_a_plan(conninfo: str, dump: Path) -> None:
    outcome = run_inside("restore", str(dump), "--dry-run", "--json", database=conninfo)
    data = outcome.envelope["data"]
    assert data["replaced_row_count"] == 151
    assert len(data["replaced_tables"]) == 80
    assert data["contents"]["has_checksum"] is True
    assert data["sessions"] == []


def test_what_keeps_aperture_from_starting_is_said(
    new_database: NewDatabase, aperture_database: NewDatabase, tmp_path: Path
) -> None:
    """The extensions come into the schema that the dump names, which nothing may reach."""
    source, restored = aperture_database(), new_database()
    execute(
        source,
        "CREATE SCHEMA extensions",
        "ALTER EXTENSION vector SET SCHEMA extensions",
        "DELETE FROM recommendation_config",
    )
    dump = make_dump(source, tmp_path).path

    outcome = restore(dump, restored)

    assert outcome.code == 0, outcome.err
    assert "You can start Aperture" not in outcome.out
    said = " ".join(outcome.out.split())
    steps = said.partition("Before you start Aperture: ")[2]
    assert "vector" in steps, said
    assert "extensions" in steps, said
    assert "search_path" in steps, said
    assert "recommendation_config lacks its default row" in steps


def test_a_complete_restore_says_what_was_checked(conninfo: str, dump: Path) -> None:
    outcome = restore(dump, conninfo)
    said = " ".join(outcome.out.split())
    assert "Extensions, migrations and default rows were checked. You can start" in said
