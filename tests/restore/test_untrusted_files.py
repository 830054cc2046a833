"""Files that were made to do harm: refused with their line, and nothing changes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from aperture_db.dumps import NotUnderstoodError
from aperture_db.dumps.contents import ContentsRead, read_contents
from aperture_db.errors import ApertureDbError
from aperture_db.restore.apply import CommitOutcome
from aperture_db.restore.run import execute_one
from tests.dump_files import PHRASE, execute, opened, read_rows, run_pg_dump
from tests.program import run_inside

NewDatabase = Callable[[], str]

ENTRY = "--\n-- Name: %s; Type: %s; Schema: public; Owner: -\n--\n\n"


def under(kind: str, statement: str) -> str:
    """A statement below the comment of an entry."""
    return ENTRY % ("x", kind) + statement


# SQL that is put before the last entry of a dump, and what of it is named.
ATTACKS = {
    "a string that ends elsewhere": (
        "SET standard_conforming_strings = off;\nSELECT '\\''; COMMIT; SELECT 1 --';\n",
        "standard_conforming_strings",
    ),
    "the same without a SET": (
        "SELECT pg_catalog.set_config('standard_conforming_strings', 'off', false);\n",
        "set_config",
    ),
    "an encoding with backslashes in characters": ("SET client_encoding = 'SJIS';\n", "SJIS"),
    "two statements in a setting": (
        "SET client_encoding = 'UTF8' /*';*/; COMMIT;\n",
        "a setting that pg_dump never makes",
    ),
    "COMMIT": ("COMMIT;\n", "COMMIT"),
    "COMMIT with a comment": (under("TABLE", "/* a */ COMMIT AND CHAIN;\n"), "COMMIT"),
    "a prepared transaction": (under("TABLE", "PREPARE TRANSACTION 'x';\n"), "PREPARE"),
    "RESET ROLE": (under("FUNCTION", "RESET ROLE;\n"), "RESET ROLE"),
    "a program that writes": (
        under("TABLE DATA", "COPY public.movies TO PROGRAM 'touch /tmp/injected';\n"),
        "COPY from or to a file or program",
    ),
    "a program that is read": (
        under("TABLE DATA", "COPY public.movies FROM PROGRAM 'id';\n"),
        "COPY from or to a file or program",
    ),
    "a program under no entry": ("COPY (SELECT 1) TO PROGRAM 'id';\n", "COPY"),
    "rows of a system catalog": (
        under("TABLE DATA", "COPY pg_catalog.pg_authid (rolname) FROM stdin;\nevil\n\\.\n"),
        "pg_catalog",
    ),
    "a row of a system catalog": (
        under("TABLE DATA", 'INSERT INTO "pg_catalog".pg_authid VALUES (1);\n'),
        "pg_catalog",
    ),
    "a table by its bare name": (
        under("TABLE DATA", "INSERT INTO pg_authid VALUES (1);\n"),
        "without its schema",
    ),
    "a role": (under("FUNCTION", "CREATE ROLE evil SUPERUSER;\n"), "CREATE ROLE"),
    "a role of old": (under("FUNCTION", "ALTER USER postgres PASSWORD 'x';\n"), "ALTER USER"),
    "a role that owns": (under("TABLE", "ALTER ROLE a RENAME TO b OWNER TO c;\n"), "ALTER ROLE"),
    "the end of a role": (under("TABLE", "DROP ROLE aperture;\n"), "DROP ROLE"),
    "a tablespace": (under("TABLE", "CREATE TABLESPACE x LOCATION '/tmp';\n"), "TABLESPACE"),
    "another database": (under("TABLE", "DROP DATABASE other;\n"), "DROP DATABASE"),
    "its settings": (under("TABLE", "ALTER DATABASE other SET a.b = 1;\n"), "ALTER DATABASE"),
    "the server's settings": (
        under("TABLE", "ALTER SYSTEM SET archive_command = 'x';\n"),
        "SYSTEM",
    ),
    "a block": (under("FUNCTION", "DO $$ BEGIN END $$;\n"), "DO $$"),
    "a call": (under("FUNCTION", "CALL public.x();\n"), "CALL"),
    "a library": (under("FUNCTION", "LOAD 'evil';\n"), "LOAD"),
    "a function of PostgreSQL": (
        under("FUNCTION", "CREATE FUNCTION pg_catalog.now2() RETURNS int LANGUAGE sql AS '';\n"),
        "pg_catalog",
    ),
    "a call in a sequence's value": (
        under("SEQUENCE SET", "SELECT pg_catalog.setval('x', (SELECT pg_ls_dir('/')::int));\n"),
        "a call that pg_dump never writes",
    ),
    "a query": (under("TABLE", "SELECT pg_catalog.pg_read_file('/etc/passwd');\n"), "SELECT"),
    "a comment on a role": (under("COMMENT", "COMMENT ON ROLE postgres IS 'x';\n"), "role"),
    "replication as a setting": ("SET session_replication_role = replica;\n", "a setting"),
}
END = "--\n-- PostgreSQL database dump complete\n--\n\n"
SCRIPT = (
    "--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n"
    "SET standard_conforming_strings = on;\n"
    "SELECT pg_catalog.set_config('search_path', '', false);\n\n"
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_with_its_line(attack: str, tmp_path: Path) -> None:
    sql, shown = ATTACKS[attack]
    file = tmp_path / "dump.sql"
    file.write_text(SCRIPT + sql + END)

    with pytest.raises(NotUnderstoodError) as caught:
        list(read_contents(file))

    assert shown in caught.value.why
    number = re.search(r"line (\d+)", caught.value.why)
    assert number
    line = file.read_text().splitlines()[int(number[1]) - 1]
    assert line in sql
    assert caught.value.next_step == f"look at it: sed -n {number[1]}p {file}"


def test_an_attack_changes_nothing(aperture_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = aperture_database()
    before = read_rows(conninfo)
    file = run_pg_dump(conninfo, tmp_path / "dump.sql")
    attack, _ = ATTACKS["a string that ends elsewhere"]
    file.write_text(file.read_text().replace(END[:-3], attack + "SELECT 1 / 0;\n" + END[:-3]))

    outcome = run_inside("restore", str(file), "--confirm", PHRASE, database=conninfo)

    assert outcome.code == 1
    assert "SQL that is not part of a dump" in outcome.err
    assert read_rows(conninfo) == before


def test_a_message_holds_one_statement(aperture_database: NewDatabase) -> None:
    """What a scanner takes for one statement the server must not take for two."""
    conninfo = aperture_database()
    with (
        opened(conninfo) as (_, conn),
        pytest.raises(psycopg.errors.SyntaxError, match="multiple commands"),
        conn.transaction(),
    ):
        execute_one(conn, b"SELECT 1; COMMIT")


def test_a_transaction_that_the_dump_ended_is_told(aperture_database: NewDatabase) -> None:
    conninfo = aperture_database()
    outcome = CommitOutcome()
    with opened(conninfo) as (_, conn), conn.transaction():
        outcome.note_begin(conn)
        conn.pgconn.exec_(b"COMMIT AND CHAIN")
        with pytest.raises(ApertureDbError, match="ended the transaction"):
            outcome.note_complete(conn)


# All that pg_dump writes beside Aperture's objects.
KINDS = r"""
CREATE FUNCTION quiet() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE TABLE notes (id serial PRIMARY KEY, number bigint GENERATED ALWAYS AS IDENTITY, text
    text DEFAULT 'x' UNIQUE CHECK (text <> ''), twice integer GENERATED ALWAYS AS (2)
    STORED, parent integer REFERENCES notes) WITH (fillfactor = 70);
INSERT INTO notes (text) VALUES ('a''b; COMMIT;'), (E'\\');
CREATE INDEX note_lengths ON notes (length(text), text);
ALTER INDEX note_lengths ALTER COLUMN 1 SET STATISTICS 500;
ALTER TABLE notes CLUSTER ON note_lengths;
ALTER TABLE notes REPLICA IDENTITY USING INDEX notes_pkey;
ALTER TABLE notes ALTER COLUMN text SET STATISTICS 200;
ALTER TABLE notes ALTER COLUMN text SET STORAGE EXTERNAL;
CREATE STATISTICS note_statistics ON id, text FROM notes;
ALTER STATISTICS note_statistics SET STATISTICS 300;
CREATE RULE quiet AS ON DELETE TO notes DO ALSO NOTHING;
CREATE POLICY own ON notes USING (text <> '');
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE notes FORCE ROW LEVEL SECURITY;
CREATE UNLOGGED TABLE passing (id integer);
CREATE TABLE parts (id integer) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (9);
CREATE INDEX of_parts ON parts (id);
INSERT INTO parts VALUES (1);
CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN COMMIT; RETURN NEW; END';
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON notes DEFERRABLE FOR EACH ROW EXECUTE
    FUNCTION act();
CREATE TRIGGER early BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION act();
ALTER TABLE notes DISABLE TRIGGER early;
CREATE VIEW shown AS SELECT id, text FROM notes;
ALTER VIEW shown ALTER COLUMN text SET DEFAULT 'y';
CREATE MATERIALIZED VIEW kept AS SELECT * FROM shown;
CREATE INDEX of_kept ON kept (id);
CREATE TYPE pair AS (one integer, two text);
CREATE TYPE span AS RANGE (subtype = integer);
CREATE DOMAIN stars AS integer CONSTRAINT few CHECK (VALUE < 6) NOT NULL;
CREATE COLLATION plain FROM "C";
CREATE AGGREGATE total(integer) (sfunc = int4pl, stype = integer);
CREATE FUNCTION lesser(pair, pair) RETURNS boolean BEGIN ATOMIC SELECT true; END;
CREATE OPERATOR <<< (leftarg = pair, rightarg = pair, function = lesser);
CREATE OPERATOR FAMILY families USING btree;
CREATE OPERATOR CLASS classes FOR TYPE integer USING btree FAMILY families AS OPERATOR 1 <,
    FUNCTION 1 btint4cmp(integer, integer);
CREATE TEXT SEARCH CONFIGURATION words (COPY = simple);
CREATE TEXT SEARCH DICTIONARY simply (TEMPLATE = simple);
CREATE CAST (pair AS text) WITH INOUT;
CREATE EVENT TRIGGER ends ON ddl_command_end EXECUTE FUNCTION quiet();
ALTER EVENT TRIGGER ends DISABLE;
CREATE PUBLICATION news FOR TABLE notes;
CREATE FOREIGN DATA WRAPPER wrapper;
CREATE SERVER far FOREIGN DATA WRAPPER wrapper;
CREATE FOREIGN TABLE there (id integer) SERVER far;
SELECT lo_create(0);
COMMENT ON TABLE notes IS 'COMMIT;';
COMMENT ON COLUMN notes.text IS 'x';
COMMENT ON OPERATOR <<< (pair, pair) IS 'x';
COMMENT ON CONSTRAINT few ON DOMAIN stars IS 'x';
GRANT SELECT ON notes TO pg_monitor;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor;
"""
FORMS = {
    "as Aperture does": ("-F", "c"),
    "for psql": (),
    "with everything dropped first": ("--clean", "--if-exists", "--create"),
    "as INSERT statements": ("--inserts", "--rows-per-insert=3", "--on-conflict-do-nothing"),
    "with columns": ("--column-inserts",),
    "as pgAdmin does": ("--disable-triggers", "--quote-all-identifiers", "--verbose"),
    "with partitions through their roots": ("--load-via-partition-root",),
}


def test_no_dump_of_pg_dump_is_refused(aperture_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = aperture_database()
    execute(conninfo, KINDS)
    for form, arguments in FORMS.items():
        file = run_pg_dump(conninfo, tmp_path / form, *arguments)
        *_, last = read_contents(file)
        assert isinstance(last, ContentsRead)
        partitioned = [each.name for each in last.contents.tables if each.is_partitioned]
        without_rows = [each.name for each in last.contents.tables if not each.has_data]
        assert partitioned == without_rows == ["parts"], form
    # With owners, privileges and roles.
    text = run_pg_dump(conninfo, tmp_path / "plain").read_text()
    owners = "ALTER TABLE public.notes OWNER TO a;\nSET SESSION AUTHORIZATION 'a';\n"
    roles = "ALTER FUNCTION public.act() OWNER TO b;\nSET ROLE b;\nGRANT ALL ON TABLE x TO b;\n"
    (tmp_path / "owned").write_text(text.replace(END, owners + roles + END))
    assert list(read_contents(tmp_path / "owned"))


def test_the_plan_names_the_privileges(aperture_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = aperture_database()
    file = run_pg_dump(conninfo, tmp_path / "dump.sql")
    planned = run_inside("restore", str(file), "--dry-run", database=conninfo)
    assert "runs with the privileges of postgres, a superuser." in planned.out
    assert "Restore only files that you trust." in " ".join(planned.out.split())


def test_a_partitioned_table_has_its_rows_in_its_partitions(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    execute(
        conninfo,
        "CREATE TABLE parts (id integer) PARTITION BY RANGE (id)",
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (9) PARTITION BY LIST (id)",
        "CREATE TABLE parts_1_2 PARTITION OF parts_1 FOR VALUES IN (2)",
        "INSERT INTO parts VALUES (2)",
    )
    file = run_pg_dump(conninfo, tmp_path / "dump.sql")
    restored = run_inside("restore", str(file), "--confirm", PHRASE, database=conninfo)
    assert restored.code == 0, restored.err
    assert "without the rows" not in restored.err + restored.out


@pytest.fixture
def swap(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Does something between the plan of a restore and its execution."""

    def prepare(action: Callable[[], object]) -> None:
        monkeypatch.setattr(
            "aperture_db.cli.restore._require_consent", lambda *_args, **_options: action()
        )

    return prepare


def overwrite(file: Path) -> None:
    """With other contents of the same length, and the same times."""
    status = file.stat()
    text = file.read_text()
    file.write_text(text.replace("CREATE TABLE public.movies", "CREATE TABLE public.movoes"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(file.read_bytes())
    overwrite(other)
    other.replace(file)


@pytest.mark.parametrize("action", [overwrite, replace])
def test_a_file_that_is_changed_after_it_was_verified(
    action: Callable[[Path], None],
    swap: Callable[[Callable[[], object]], None],
    aperture_database: NewDatabase,
    tmp_path: Path,
) -> None:
    """Whoever may write to the file or its directory can exchange what was verified."""
    conninfo = aperture_database()
    file = run_pg_dump(conninfo, tmp_path / "dump")
    before = read_rows(conninfo)
    swap(lambda: action(file))
    outcome = run_inside(
        "restore", str(file), "--confirm", PHRASE, "--no-safety-backup", database=conninfo
    )
    assert outcome.code == 1
    assert "was changed after it was verified" in outcome.err
    assert read_rows(conninfo) == before
