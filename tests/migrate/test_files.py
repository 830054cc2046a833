"""What is said about files that can't be applied, and that nothing is applied then."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aperture_db.migrations.directory import (
    MigrationDirectory,
    MigrationFile,
    bundled_directory,
    check_files,
)
from tests.cli import run_cli
from tests.migrate.conftest import CREATE_THINGS, Directory, recorded, table_exists

BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "0002_latin1": (b"SELECT 1;\n-- caf\xe9\n", "0002_latin1.sql:2: byte 0xe9 is not UTF-8"),
    "0002_utf16": ("SELECT 1;".encode("utf-16"), "0002_utf16.sql:1: the file is UTF-16"),
    "0002_nul": (b"SELECT 1;\nSELECT\0 2;", "0002_nul.sql:2: there is a NUL byte"),
    "0002_restrict": (
        "-- pg_dump\n\\restrict abc\nSELECT 1;\n\\unrestrict abc\n",
        "0002_restrict.sql:2: a psql command (backslash); only SQL can be applied",
    ),
    "0002_copy": (
        "CREATE TABLE a (b int);\n\nCOPY a (b) FROM STDIN;\n1\n\\.\n",
        "0002_copy.sql:3: COPY from or to the client; use INSERT",
    ),
    "0002_commit": (
        "CREATE TABLE a (b int);\nCOMMIT;\n",
        "0002_commit.sql:2: COMMIT ends or starts a transaction; remove it",
    ),
    "0002_begin": ("\n\nbegin;\nselect 1;\nend;\n", "0002_begin.sql:3: BEGIN ends or starts"),
    "0002_concurrently": (
        "create unique index concurrently i on things (id);",
        "CONCURRENTLY can't run inside a transaction; put `-- aperture-db: no-transaction` into",
    ),
    "0002_vacuum": ("VACUUM things;", "0002_vacuum.sql:1: VACUUM can't run inside"),
    "0002_directive": ("-- aperture-db: no-tranaction\nSELECT 1;", "unknown directive no-tranacti"),
    "0002_two": (
        "-- aperture-db: no-transaction\nSELECT 1; SELECT 2;",
        "0002_two.sql:1: 2 statements outside a transaction",
    ),
    "0002_syntax": (
        "SELECT 1;\n-- größer\nCREATE TALBE t (id int);\n",
        '0002_syntax.sql:3: column 8: syntax error at or near "TALBE"; correct the file',
    ),
    "0002_comment": ("/* open\n", "0002_comment.sql:1: column 1: unterminated /* comment; correct"),
    "0002_quote": ("SELECT 1;\nSELECT 'open;\n", "0002_quote.sql:2: column 8: unterminated"),
    "2_short": ("SELECT 1;", "2_short.sql:1: bad file name; name it like 0115_add_something.sql"),
    "0001_again": ("SELECT 1;", "0001_again.sql:1: number 0001 is used twice"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_before_anything_is_applied(
    new_database: Callable[[], str], directory: Directory, name: str
) -> None:
    content, finding = BAD_FILES[name]
    path = directory(**{"0001_good": CREATE_THINGS, name: content})
    conninfo = new_database()
    outcome = run_cli("migrate", "--dir", str(path), conninfo=conninfo)
    assert outcome.code == 2
    assert finding in outcome.err
    assert "nothing was changed" in outcome.err
    assert outcome.out == ""
    assert recorded(conninfo) == []
    assert not table_exists(conninfo, "things")


def test_all_findings_are_shown_at_once(
    new_database: Callable[[], str], directory: Directory
) -> None:
    path = directory(**{"0001_a": "COMMIT;", "0002_b": "BEGIN;\nVACUUM;", "0003_c": "SELECT 1;"})
    outcome = run_cli("migrate", "--dir", str(path), conninfo=new_database())
    assert outcome.code == 2
    places = [line[7:].split(": ")[0] for line in outcome.err.splitlines()[1:-1]]
    assert places == ["0001_a.sql:1", "0002_b.sql:1", "0002_b.sql:2"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfCREATE TABLE things (id int);",
        b"CREATE TABLE things (\r\n    id int\r\n);\r\n",
        b"-- only a comment\n",
        b"",
        "CREATE TABLE things (id int); -- größer ✓\n/* ; */ SELECT '\\', $$COMMIT;$$;".encode(),
        b"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END;",
        b"SAVEPOINT a; ROLLBACK TO a; RELEASE a;",
        b"SELECT 1 AS \"COMMIT\"; SELECT '100%', '%s';",
    ],
)
def test_unusual_but_sound_files_are_applied(
    new_database: Callable[[], str], directory: Directory, content: bytes
) -> None:
    path = directory(**{"0001_a": content, "0002_b": "SELECT 1;"})
    conninfo = new_database()
    outcome = run_cli("migrate", "--dir", str(path), conninfo=conninfo)
    assert outcome.code == 0, outcome.err
    assert recorded(conninfo) == ["0001_a.sql", "0002_b.sql"]
    assert table_exists(conninfo, "things") == (b"TABLE things" in content)


def test_a_directory_without_files_is_refused(directory: Directory) -> None:
    path = directory()
    outcome = run_cli("migrate", "--dir", str(path), conninfo="postgresql://h/d")
    assert outcome.code == 2
    assert outcome.err.splitlines() == [
        f"error: the migration directory {path} can't be used",
        "why:   it holds no .sql files",
        "next:  correct --dir, or leave it out to use the bundled migrations",
    ]


def test_a_link_to_a_device_without_an_end_is_refused(directory: Directory) -> None:
    path = directory(**{"0001_a": "SELECT 1;\n"})
    (path / "0002_b.sql").symlink_to("/dev/zero")
    outcome = run_cli("migrate", "--dir", str(path), conninfo="postgresql://h/d")
    assert outcome.code == 2
    assert "it is a device, not a file" in outcome.err


def test_a_link_that_leads_nowhere_is_refused(directory: Directory) -> None:
    path = directory(**{"0001_a": "SELECT 1;\n"})
    link = path / "0002_b.sql"
    link.symlink_to(path / "gone.sql")
    outcome = run_cli("migrate", "--dir", str(path), conninfo="postgresql://h/d")
    assert outcome.code == 2
    assert f"why:   {link}: No such file or directory\n" in outcome.err


def test_the_variable_names_a_directory_too(
    new_database: Callable[[], str], directory: Directory
) -> None:
    path = str(directory(**{"0001_a": "SELECT 1;"}))
    conninfo = new_database()
    outcome = run_cli("migrate", "-q", conninfo=conninfo, APERTURE_MIGRATIONS_DIR=path)
    assert (outcome.code, recorded(conninfo)) == (0, ["0001_a.sql"])
    missing = run_cli("migrate", conninfo=conninfo, APERTURE_MIGRATIONS_DIR=path + "x")
    assert missing.code == 2
    assert "correct APERTURE_MIGRATIONS_DIR" in missing.err


@pytest.mark.parametrize(
    "setting",
    [
        "SET search_path = other;",
        "set\tsearch_path to other;",
        "SELECT pg_catalog.set_config('search_path', 'other', false);",
    ],
    ids=["SET", "tab", "set_config"],
)
def test_set_in_a_file_is_refused_on_a_pooler_and_undone_elsewhere(
    new_database: Callable[[], str],
    pgbouncer_conninfo: Callable[[str], str],
    directory: Directory,
    setting: str,
) -> None:
    conninfo = new_database()
    files = {"0001_a": f"CREATE SCHEMA other; {setting}", "0002_b": CREATE_THINGS}
    path = str(directory(**files))
    pooled = run_cli("migrate", "--dir", path, conninfo=pgbouncer_conninfo(conninfo))
    assert pooled.code == 2
    assert "0001_a.sql:1: a setting outlives the file on a pooler; use SET LOCAL" in pooled.err
    for mode in (["--rehearse"], []):
        outcome = run_cli("migrate", "--dir", path, *mode, conninfo=conninfo)
        assert outcome.code == 0, outcome.err
    assert table_exists(conninfo, "public.things")


@given(st.binary())
def test_checks_survive_any_bytes(content: bytes) -> None:
    file = MigrationFile("0001_any.sql", content)
    directory = MigrationDirectory(bundled_directory(), (file,), is_bundled=False)
    for finding in check_files(directory, [file], pooled=True):
        assert str(finding).startswith("0001_any.sql:")
