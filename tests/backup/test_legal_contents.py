"""What a database may hold beside Aperture's tables never makes a good backup look damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dump_files import PHRASE, execute, read_rows, run_pg_dump
from tests.program import run_inside

NewDatabase = Callable[[], str]

# Words that open, close or copy something elsewhere, as names, bodies, comments and defaults.
DEFINITIONS = {
    "names with line breaks": (
        'CREATE TABLE "two\nlines" ("a\nb" integer, c text DEFAULT \'x\n\\.\n\')',
        "INSERT INTO \"two\nlines\" VALUES (1, 'one'), (2, DEFAULT)",
        'CREATE INDEX "an\nindex" ON "two\nlines" ("a\nb")',
    ),
    "a function named begin": (
        "CREATE FUNCTION begin() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION \"end\"(begin integer) RETURNS integer LANGUAGE sql AS 'SELECT begin'",
    ),
    "columns named begin and end": (
        'CREATE TABLE spans (begin integer, "end" integer, atomic text, copy text)',
        "INSERT INTO spans VALUES (1, 2, 'begin', 'COPY x FROM stdin;')",
        """
        CREATE FUNCTION lengths() RETURNS SETOF integer
        BEGIN ATOMIC
            SELECT CASE WHEN begin > 1 THEN begin ELSE "end" END FROM spans;
            SELECT s.begin FROM spans AS s;
        END
        """,
    ),
    "the end of COPY in texts": (
        "CREATE TYPE ends AS ENUM (E'x\n\\\\.\n', 'END;', 'COMMIT;')",
        "CREATE TABLE endings (kind ends DEFAULT E'x\n\\\\.\n', note text)",
        "INSERT INTO endings VALUES (DEFAULT, E'\\\\.'), ('END;', E'\n\\\\.\n')",
        "COMMENT ON TABLE endings IS E'COMMIT;\n-- Name: x; Type: TABLE; Schema: -; Owner: x'",
    ),
}


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_legal_definitions_come_back(
    kind: str, aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo, restored = aperture_database(), new_database()
    execute(conninfo, *DEFINITIONS[kind])

    made = run_inside("backup", "--dir", str(tmp_path), "--json", database=conninfo)
    assert made.code == 0, made.err
    file = made.envelope["data"]["backup"]["path"]
    outcome = run_inside("restore", file, "--confirm", PHRASE, database=restored)

    assert outcome.code == 0, outcome.err
    rows = read_rows(conninfo)
    assert read_rows(restored) == rows


def test_names_with_line_breaks_as_insert_statements(
    aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo, restored = aperture_database(), new_database()
    execute(conninfo, *DEFINITIONS["names with line breaks"])
    file = run_pg_dump(conninfo, tmp_path / "dump.sql", "--inserts")
    for _ in range(2):
        outcome = run_inside("restore", str(file), "--confirm", PHRASE, database=restored)
        assert outcome.code == 0, outcome.err
        assert read_rows(restored) == read_rows(conninfo)


def test_foreign_tables_are_left_out_where_their_server_is_missing(
    aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo, restored = aperture_database(), new_database()
    execute(
        conninfo,
        "CREATE FOREIGN DATA WRAPPER files",
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER files",
        "CREATE USER MAPPING FOR PUBLIC SERVER elsewhere",
        "CREATE FOREIGN TABLE far (a integer DEFAULT 1) SERVER elsewhere",
    )
    file = str(run_pg_dump(conninfo, tmp_path / "dump.sql", "--clean", "--if-exists"))

    outcome = run_inside("restore", file, "--confirm", PHRASE, database=restored)

    assert outcome.code == 0, outcome.err
    assert "warning: foreign table far is left out: " in outcome.err
    assert read_rows(restored) == read_rows(conninfo)
    # Its own database still has the server.
    again = run_inside("restore", file, "--confirm", PHRASE, database=conninfo)
    assert again.code == 0, again.err
    assert "is left out" not in again.err


@pytest.mark.parametrize("form", ["custom", "sql"])
def test_large_objects_are_named_as_left_out(
    form: str, aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    execute(conninfo, "SELECT lo_create(0)", "SELECT lo_from_bytea(0, 'COMMIT; \\\\. x')")
    if form == "custom":
        made = run_inside("backup", "--dir", str(tmp_path), "--json", database=conninfo)
        assert made.code == 0, made.err
        file = made.envelope["data"]["backup"]["path"]
    else:
        file = str(run_pg_dump(conninfo, tmp_path / "dump.sql"))
    before = read_rows(conninfo)

    outcome = run_inside("restore", file, "--confirm", PHRASE, database=conninfo)

    assert outcome.code == 0, outcome.err
    assert "will not be restored: large objects" in outcome.err
    restored = read_rows(conninfo)
    assert {name for name, row in restored.items() if row != before[name]} <= {
        "public.backup_config"
    }


def test_a_backup_with_something_unknown_is_kept_with_a_warning(
    aperture_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_restore reads it to its end, so it is not damaged."""
    monkeypatch.setattr("aperture_db.dumps.contents.TRANSACTION_WORDS", {b"CREATE"})

    outcome = run_inside("backup", "--dir", str(tmp_path), database=aperture_database())

    assert outcome.code == 0, outcome.err
    assert "warning: the backup was not verified, and aperture-db restore" in outcome.err
    assert "not verified" in outcome.out
    assert list(tmp_path.glob("aperture_backup_*.dump"))


@pytest.mark.parametrize(
    "setting",
    ["standard_conforming_strings = off", "client_encoding = latin1", "quote_all_identifiers = on",
     "bytea_output = escape", "search_path = ''", "DateStyle = 'German'", "TimeZone = 'Asia/Kabul'",
     "IntervalStyle = iso_8601", "extra_float_digits = -10", "default_transaction_read_only = on",
     "statement_timeout = '90ms'", "lock_timeout = '1ms'", "xmloption = document",
     "default_transaction_isolation = serializable", "array_nulls = off", "row_security = off",
     "check_function_bodies = off", "default_with_oids = off", "synchronize_seqscans = off"],
)  # fmt: skip
def test_the_defaults_of_a_database_decide_nothing_about_a_dump(
    setting: str, aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo, other = aperture_database(), new_database()
    execute(
        conninfo,
        "INSERT INTO movies (provider_item_id, title) VALUES ('1', E'Łódź \\\\ ''x''')",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {}', current_database()); END $$".format(
            setting.replace("'", "''")
        ),
    )
    outcome = run_inside("backup", "--dir", str(tmp_path), database=conninfo)
    if outcome.code == 2:
        assert "search_path" in setting
        return
    assert outcome.code == 0, outcome.err
    assert "not verified" not in outcome.out
    (file,) = tmp_path.iterdir()
    reset = "EXECUTE format('ALTER DATABASE %I RESET ALL', current_database())"
    execute(conninfo, "SET default_transaction_read_only = off", f"DO $$ BEGIN {reset}; END $$")
    restored = run_inside("restore", str(file), "--confirm", PHRASE, database=other)
    assert restored.code == 0, restored.err
    assert read_rows(other) == read_rows(conninfo)
