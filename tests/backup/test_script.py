"""Reading the SQL of a dump: where statements end, and what is not obeyed."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aperture_db.dumps.script import (
    MOST_ENTRIES,
    CopyData,
    DumpScriptError,
    DumpStatement,
    NotADumpError,
    ScriptReader,
    TooLargeError,
)

HEAD = b"--\n-- PostgreSQL database dump\n--\n\n"
TAIL = b"--\n-- PostgreSQL database dump complete\n--\n\n"
ENTRY = b"--\n-- Name: %s; Type: %s; Schema: %s; Owner: -\n--\n\n"


def read(script: bytes, block_bytes: int = 1 << 18) -> list[tuple[str, str, bytes]]:
    """Name and kind of the entry and the text of each part, rows included."""
    stream = io.BytesIO(script)
    found = []
    for part in ScriptReader(lambda size: stream.read(min(size, block_bytes))).parts():
        text = part.text
        if isinstance(part, CopyData):
            text += b"\n" + b"".join(part.blocks)
        found.append((part.entry.name, part.entry.kind, text))
    return found


def statements(body: bytes) -> list[bytes]:
    return [text for _, _, text in read(HEAD + body + TAIL)]


def test_entries_are_named_by_their_comments() -> None:
    script = (
        HEAD
        + b"SET lock_timeout = 0;\n"
        + ENTRY % (b"movies", b"TABLE", b"public")
        + b"CREATE TABLE public.movies (\n    id integer\n);\n\n\n"
        + b"--\n-- Data for Name: movies; Type: TABLE DATA; Schema: public; Owner: -\n--\n\n"
        + b"COPY public.movies (id) FROM stdin;\n1\n2\n\\.\n\n\n"
        + TAIL
    )
    assert read(script) == [
        ("", "", b"SET lock_timeout = 0;"),
        ("movies", "TABLE", b"CREATE TABLE public.movies (\n    id integer\n);"),
        ("movies", "TABLE DATA", b"COPY public.movies (id) FROM stdin;\n1\n2\n"),
    ]


@pytest.mark.parametrize(
    "statement",
    [
        b"SELECT ';';",
        b"SELECT 'it''s; a trap';",
        b"SELECT E'a\\';b';",
        b"SELECT E'a\\\\';",
        b"SELECT E'two''\n-- Name: x; Type: TABLE; Schema: public; Owner: -\n;lines';",
        b'COMMENT ON COLUMN t."odd; ""name" IS NULL;',
        b"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $_$ SELECT 1; SELECT $1; $_$;",
        b"CREATE FUNCTION f() RETURNS void AS $$\n-- PostgreSQL database dump complete\n;\n$$;",
        b"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END;\nEND;",
        b"CREATE RULE r AS ON INSERT TO v DO (SELECT 1; SELECT 2);",
        b"SELECT 1 /* a; /* nested; */ comment; */ + 1;",
        b"SELECT a$b$c;",
        b"SELECT 1 -- a comment; with a semicolon\n+ 1;",
    ],
)
def test_semicolons_inside_do_not_end_a_statement(statement: bytes) -> None:
    assert statements(statement + b"\n\nSELECT 2;\n") == [statement, b"SELECT 2;"]


def test_two_statements_on_a_line_are_two() -> None:
    assert statements(b"SELECT 1; COMMIT;\n") == [b"SELECT 1;", b" COMMIT;"]


@given(
    rows=st.lists(
        st.text(alphabet=st.sampled_from("ab\\.\t;'$-"), max_size=12).filter(lambda x: x != "\\."),
        max_size=30,
    ),
    block_bytes=st.integers(1, 40),
)
def test_rows_arrive_whole_however_the_blocks_fall(rows: list[str], block_bytes: int) -> None:
    data = "".join(f"{row}\n" for row in rows).encode()
    script = HEAD + b"COPY public.t (a) FROM stdin;\n" + data + b"\\.\n\nSELECT 1;\n" + TAIL

    found = read(script, block_bytes)

    assert found == [
        ("", "", b"COPY public.t (a) FROM stdin;\n" + data),
        ("", "", b"SELECT 1;"),
    ]


@pytest.mark.parametrize("length", [1, 60, 100, 125, 140, 160])
def test_a_script_that_breaks_off_is_told(length: int) -> None:
    script = HEAD + b"COPY public.t (a) FROM stdin;\n1\n2\n\\.\n\nSELECT 'x\ny';\n" + TAIL
    with pytest.raises(DumpScriptError):
        read(script[: min(length, len(script) - 20)])


@pytest.mark.parametrize(
    "command", [b"\\! touch /tmp/x", b"\\copy t from 'x'", b"\\i other.sql", b"\\set x 1"]
)
def test_commands_of_psql_are_refused(command: bytes) -> None:
    with pytest.raises(DumpScriptError, match="psql meta-command"):
        statements(command + b"\n")


def test_what_pg_dump_puts_around_a_script_is_ignored() -> None:
    body = b"\\restrict abc\n\\connect aperture\nSELECT 1;\n\\unrestrict abc\n"
    assert statements(body) == [b"SELECT 1;"]


@pytest.mark.parametrize(
    "script",
    [
        b"",
        b"CREATE TABLE movies (id integer);\n",
        b"just a text\n" * 100,
        b"\x00\xff" * 2_000_000,
        b"--\n-- PostgreSQL database cluster dump\n--\n",
    ],
)
def test_other_texts_are_no_dumps(script: bytes) -> None:
    with pytest.raises(NotADumpError):
        read(script)


def test_the_first_words_of_a_statement_are_known() -> None:
    stream = io.BytesIO(HEAD + b"create  table t (a int);\n" + TAIL)
    (part,) = ScriptReader(stream.read).parts()
    assert isinstance(part, DumpStatement)
    assert part.head == (b"CREATE", b"TABLE", b"T", b"A", b"INT")


def repeated(piece: bytes, size_bytes: int) -> Callable[[int], bytes]:
    """A stream of the head of a dump, then the piece again and again; it is never in memory."""
    left = [HEAD, *([piece * (size_bytes // 64 // len(piece))] * 64)]
    stream = iter(left)
    rest = b""

    def read_some(size: int) -> bytes:
        nonlocal rest
        rest = rest or next(stream, b"")
        taken, rest = rest[:size], rest[size:]
        return taken

    return read_some


NUMBERED = (ENTRY % (b"n%d", b"TABLE", b"public")).replace(b"%", b"%%").replace(b"%%d", b"%d")


def test_a_flood_of_entries_is_refused() -> None:
    numbers = iter(range(10_000_000))
    head = iter([HEAD])
    reader = ScriptReader(
        lambda _: next(head, b"") or b"".join(NUMBERED % next(numbers) for _ in range(1_000))
    )
    with pytest.raises(TooLargeError, match="objects"):
        list(reader.parts())
    assert len(reader.entries) <= MOST_ENTRIES + 1


@pytest.mark.parametrize("piece", [b"x" * 4096, b"'" * 4096])
def test_a_line_without_end_is_refused(piece: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(TooLargeError, match="more than 4 MB"):
        list(ScriptReader(repeated(piece, 200 << 20)).parts())
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 100 << 20


LONG_LINES = {
    "strings": b"SELECT 'a;''b', 'c' /* ; */, $x$;$ $x$, \"a;b\", E'\\';\\\\', ",
    "a body": b"SELECT $body$ x;y $ $bod$ z;$body$ || ",
    "a comment": b"SELECT 1 + -- ; '",
}


@pytest.mark.parametrize("kind", LONG_LINES)
@pytest.mark.parametrize("piece_bytes", [50, 51, 53, 64])
def test_a_long_line_is_read_in_pieces(
    kind: str, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is cut: what is quoted in it stays quoted."""
    monkeypatch.setattr("aperture_db.dumps.script.PIECE_BYTES", piece_bytes)
    line = LONG_LINES[kind] * 50 + b"1;\n"
    end = b"\n;\n" if kind == "a comment" else b""
    ((*_, text),) = read(HEAD + line + end + TAIL, 10)
    assert text.strip() == (line + end).strip()


def test_a_value_without_spaces_is_read_in_pieces() -> None:
    value = b"'" + b"6a" * (2 << 20) + b";x'"
    found = statements(b"SELECT " + value + b";SELECT $long_tag$" + value + b"$long_tag$;\n")
    assert [len(each) for each in found] == [len(value) + 8, len(value) + 8 + 20]


PIECES_OF_VALUES = ["a", "';", "-", "1", ",", "''", "NULL", "E'", "\\", ")", "--", ";"]


@given(st.lists(st.sampled_from(PIECES_OF_VALUES)))
def test_plain_rows_are_found_as_the_scanner_finds_them(pieces: list[str]) -> None:
    """The short way for millions of INSERT statements gives the same as the long one."""
    value = "".join(pieces).encode()
    rows = b"INSERT INTO public.t VALUES (1, " + value + b");\nINSERT INTO public.t VALUES (2);\n"
    more = b"INSERT INTO public.t VALUES\n\t(1),\n\t(" + value + b"),\n\t(3);\n"
    for script in (rows, more):
        # Other spaces keep them from the short way.
        spaced = script.replace(b"INSERT INTO", b"INSERT  INTO").replace(b"\t", b" ")
        try:
            scanned = statements(spaced)
        except DumpScriptError:
            continue
        assert [each.split() for each in statements(script)] == [each.split() for each in scanned]


def test_a_long_comment_takes_linear_time() -> None:
    """460 kB took minutes with a pattern that looks for its end from every place."""
    comment = b"-- Name: " + b"; Type: A; Schema: " * 25_000 + b"\n"
    assert read(HEAD + comment * 10 + TAIL) == []
