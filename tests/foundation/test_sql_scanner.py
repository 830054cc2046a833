"""Where statements end, by the rules of the server."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn
from psycopg.rows import TupleRow

from aperture_db.postgres.sql_scanner import (
    SqlScanner,
    TokenKind,
    head_comments,
    line_and_column,
    split_statements,
)
from tests.conftest import MIGRATIONS

# Statements that the server takes one by one in this order, in one transaction.
STATEMENTS = [
    "SELECT 1",
    "SELECT ';'",
    "SELECT 'it''s; one'",
    "SELECT E'\\';'",
    "SELECT E'\\\\', ';', e'\n\\';\\\n'",
    "SELECT E'a'\n'\\';'",
    "SELECT E'a' -- a comment;'\n  -- another'\n 'b\\';'",
    "SELECT '\\'",
    "SELECT N'\\', B'01', X'1F'",
    "SELECT U&'\\0061;\\\\', U&'\\\\'",
    'SELECT 1 AS ";"',
    'SELECT 1 AS "a"";""\n;b", \';\'',
    'SELECT 1 AS U&"\\0061;"',
    "SELECT $$;'$$",
    'SELECT $x$;$y$;$$;"$x$, $é$;$é$',
    "SELECT $a$;$b$a$",
    "SELECT $_1$ $ $1 $$ ; $_1$",
    "SELECT 1 AS a$b$, ';' AS b$b$",
    "SELECT 1 AS a\u00a0b, 2 AS \u00e9\u2013",
    "SELECT 1 /* ; /* ' */ ; */ + 1",
    "SELECT 1 -- ; '\n + 1",
    "SELECT 1 -- ; '\r + 1",
    "SELECT 2 +--;\n 1",
    "SELECT 2 */*;*/ 3",
    "SELECT 1 - -1, 4 / 2, 2 * 2",
    "SELECT (1), (SELECT ')' AS \"(\")",
    "SELECT CASE WHEN true THEN 1 ELSE 2 END",
    "SELECT 1 end",
    "SELECT begin.case FROM (SELECT 1 AS case) AS begin",
    "SELECT begin atomic FROM (SELECT 1 AS begin) AS a",
    'CREATE TABLE function (begin int, atomic int, "end" int)',
    "CREATE RULE r AS ON INSERT TO function DO ALSO (SELECT 1; SELECT 2)",
    "CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'SELECT 1; SELECT 2'",
    "CREATE FUNCTION f1(begin int, atomic int) RETURNS int LANGUAGE sql AS $$ SELECT 1; $$",
    "CREATE FUNCTION g(begin int) RETURNS int BEGIN ATOMIC SELECT 1; SELECT begin; END",
    """CREATE OR REPLACE FUNCTION g(begin int) RETURNS int begin /* ; */ atomic
    SELECT CASE WHEN begin > 1 THEN CASE begin WHEN 2 THEN 3 END ELSE 0 END; END""",
    "CREATE FUNCTION h() RETURNS int BEGIN ATOMIC SELECT 1 AS end; SELECT 1 end; END",
    "CREATE FUNCTION i() RETURNS int BEGIN ATOMIC SELECT f.begin FROM function f; END",
    "CREATE FUNCTION j() RETURNS int BEGIN ATOMIC SELECT x.case FROM (SELECT 1 AS case) x; END",
    "CREATE PROCEDURE p() BEGIN ATOMIC INSERT INTO function (begin) VALUES (1); END",
    "CREATE FUNCTION k() RETURNS void BEGIN ATOMIC END",
    "CREATE FUNCTION l() RETURNS int RETURN CASE WHEN true THEN 1 END",
    "COMMENT ON TABLE function IS 'BEGIN ATOMIC; \\.'",
    "CREATE TYPE case_ AS ENUM ('begin', 'end;', 'copy', E'\\\\.')",
]
PLAIN = [text for text in STATEMENTS if text.startswith("SELECT") and "function" not in text]
# What the space between two statements may hold.
GAPS = st.sampled_from(["", " ", "\n", "\r\n", " -- ; ' \n", "/* ; ' /* \" */ */", ";", " ; \t;\n"])
# What scanners stumble over, in any order.
PIECES = [
    "'", "''", '"', "$$", "$a$", "$", "E'", "e", "U&'", 'U&"', "\\", "\\'", "--", "/*", "*/", "/",
    "*", "\n", "\r", " ", ";", "(", ")", "a", "1", "é", "BEGIN ATOMIC", "END", "CASE",
    "CREATE FUNCTION f()", ";\n",
]  # fmt: skip
SOUP = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@pytest.fixture(scope="module")
def conn(admin_conninfo: str) -> Iterator[psycopg.Connection[TupleRow]]:
    with psycopg.connect(admin_conninfo, autocommit=True) as connection:
        yield connection


def sources(text: str) -> list[str]:
    """The statements' texts with their semicolons, as a scan by lines finds them."""
    scanner = SqlScanner()
    found = []
    pending = ""
    for line in text.splitlines(keepends=True) if "\r" not in text else [text]:
        start = 0
        while (end := scanner.find_end(line, start)) is not None:
            found.append(pending + line[start:end])
            pending, start = "", end
        pending += line[start:]
    return [*found, pending] if pending else found


def run_whole(pgconn: PGconn, text: str) -> int:
    """Send a text in one message; the number of statements that the server found in it."""
    pgconn.send_query(text.encode())
    count = 0
    while result := pgconn.get_result():
        assert result.status != ExecStatus.FATAL_ERROR, result.error_message
        count += result.status != ExecStatus.EMPTY_QUERY
    return count


def run_one(pgconn: PGconn, text: str) -> bool:
    """Send a text by the extended protocol, which takes no two statements; False if empty."""
    result = pgconn.exec_params(text.encode(), None)
    assert result.status != ExecStatus.FATAL_ERROR, (text, result.error_message)
    return result.status != ExecStatus.EMPTY_QUERY


def test_the_server_finds_the_same_statements(conn: psycopg.Connection[TupleRow]) -> None:
    text = ";\n".join(STATEMENTS)
    assert len(split_statements(text)) == len(STATEMENTS)
    with conn.transaction(force_rollback=True):
        assert run_whole(conn.pgconn, text) == len(STATEMENTS)
    with conn.transaction(force_rollback=True):
        assert sum(run_one(conn.pgconn, source) for source in sources(text)) == len(STATEMENTS)


@given(st.lists(st.tuples(GAPS, st.sampled_from(PLAIN)), min_size=1, max_size=6), GAPS)
def test_the_server_finds_the_same_statements_in_any_order(
    conn: psycopg.Connection[TupleRow], parts: list[tuple[str, str]], last_gap: str
) -> None:
    text = ";".join(gap + statement for gap, statement in parts) + ";" + last_gap
    assert len(split_statements(text)) == len(parts)
    assert run_whole(conn.pgconn, text) == len(parts)
    assert sum(run_one(conn.pgconn, source) for source in sources(text)) == len(parts)


def test_the_server_finds_the_same_statements_in_the_migrations(
    conn: psycopg.Connection[TupleRow],
) -> None:
    for file in sorted(MIGRATIONS.glob("*.sql")):
        text = file.read_text(encoding="utf-8")
        found = [source for source in sources(text) if split_statements(source)]
        assert len(found) == len(split_statements(text)), file.name
        for source in found:
            result = conn.pgconn.prepare(b"", source.encode())
            message = bytes(result.error_message).decode()
            # Names may be missing here; two statements or half of one never come through.
            assert "multiple commands" not in message, (file.name, source)
            assert "syntax error" not in message, (file.name, source)


@given(SOUP)
def test_lines_and_bytes_make_no_difference(text: str) -> None:
    whole = split_statements(text)
    by_lines = [source for source in sources(text.replace("\r", "")) if split_statements(source)]
    assert len(by_lines) == len(split_statements(text.replace("\r", "")))
    as_bytes = split_statements(text.encode().decode("latin-1"))
    assert [len(statement.tokens) for statement in as_bytes] == [
        len(statement.tokens) for statement in whole
    ]


@given(SOUP | st.text())
def test_every_text_can_be_split(text: str) -> None:
    statements = split_statements(text)
    offsets = [statement.offset for statement in statements]
    assert offsets == sorted(set(offsets))
    assert all(text[offset] not in " \t\n;" for offset in offsets)
    tokens = [token for statement in statements for token in statement.tokens]
    assert all(0 <= token.start < token.end <= len(text) for token in tokens)
    assert [token.start for token in tokens] == sorted(token.start for token in tokens)


@pytest.mark.parametrize("piece", PIECES)
def test_any_text_is_scanned_in_linear_time(piece: str) -> None:
    def seconds(count: int) -> float:
        text = piece * count
        started = time.process_time()
        split_statements(text)
        split_statements("'" + text)
        split_statements('"' + text)
        split_statements("E'" + text)
        return time.process_time() - started

    short, long = (min(seconds(count) for _ in range(3)) for count in (1_000, 10_000))
    # Quadratic time would take a hundred times as long.
    assert long < 50 * max(short, 0.001)


def test_names_are_read_as_the_server_reads_them() -> None:
    (statement,) = split_statements('create table "a""b;\n" U&"d\\0061t\\+000061" Beta beg\u0131n')
    assert statement.words == ("CREATE", "TABLE", 'a"b;\n', "data", "BETA", "BEG\u0131N")
    assert [token.kind for token in statement.tokens[:3]] == [
        TokenKind.WORD,
        TokenKind.WORD,
        TokenKind.NAME,
    ]


def test_a_scanner_tells_what_is_open() -> None:
    scanner = SqlScanner()
    lines: list[tuple[str, int | None, bool]] = [
        ("/* a\n", None, False),
        ("*/ -- b\n", None, True),
        ("create or replace view v as select ';\n", None, False),
        ("';\n", 2, True),
    ]
    for line, end, is_between in lines:
        assert (scanner.find_end(line), scanner.is_between_statements) == (end, is_between), line
    assert " ".join(scanner.head) == "CREATE OR REPLACE VIEW V"
    assert scanner.find_end(";") == 1
    assert not scanner.head


SAFE = st.sampled_from(
    [
        "SELECT 1",
        "SELECT 'a;b'",
        "SELECT $x$;$x$",
        'SELECT ";"',
        "SELECT 1 /* ; */",
        "SELECT E'\\';'",
    ]
)


@given(st.lists(SAFE, min_size=1))
def test_semicolons_in_strings_and_comments_split_nothing(parts: list[str]) -> None:
    text = ";\n-- a comment; with a semicolon\n".join(parts)
    assert len(split_statements(text)) == len(parts)


@given(st.text(), st.data())
def test_line_and_column_point_at_the_character(text: str, data: st.DataObject) -> None:
    text += "x"
    offset = data.draw(st.integers(0, len(text) - 1))
    line, column = line_and_column(text, offset)
    assert text.split("\n")[line - 1][column - 1 :][:1] == text[offset].replace("\n", "")


def test_only_the_head_holds_directives() -> None:
    text = "\n-- one\n  -- aperture-db: no-transaction\nSELECT 1;\n-- two\n"
    assert head_comments(text) == ["one", "aperture-db: no-transaction"]
