"""Scripts like pg_dump's whose reading could take all memory or for ever, as streams of bytes."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

HEAD = (
    b"--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 16.4\n"
    b"-- Dumped by pg_dump version 16.4\n\nSET standard_conforming_strings = on;\n\n"
)
TAIL = b"--\n-- PostgreSQL database dump complete\n--\n\n"
ENTRY = b"--\n-- Name: %s; Type: %s; Schema: public; Owner: -\n--\n\n"
TABLE = ENTRY % (b"t", b"TABLE") + b"CREATE TABLE public.t (a text);\n\n"
ROWS = TABLE + ENTRY % (b"t", b"TABLE DATA")
BLOCK_BYTES = 1 << 20


def _repeated(piece: bytes, size_bytes: int) -> Iterator[bytes]:
    """`size_bytes` of the piece again and again."""
    block = piece * max(1, BLOCK_BYTES // len(piece))
    for _ in range(size_bytes // len(block)):
        yield block


def one_value_of_copy(size_bytes: int) -> Iterator[bytes]:
    yield ROWS + b"COPY public.t (a) FROM stdin;\n"
    yield from _repeated(b"x", size_bytes)
    yield b"\n\\.\n\n"


def rows_of_copy(size_bytes: int) -> Iterator[bytes]:
    yield ROWS + b"COPY public.t (a) FROM stdin;\n"
    yield from _repeated(b"some words of a row\n", size_bytes)
    yield b"\\.\n\n"


def insert_statements(size_bytes: int) -> Iterator[bytes]:
    """pg_dump --inserts."""
    yield ROWS
    yield from _repeated(b"INSERT INTO public.t VALUES ('some words; of a row');\n", size_bytes)


def one_insert_of_many_rows(size_bytes: int) -> Iterator[bytes]:
    """pg_dump --rows-per-insert, with a number larger than the table."""
    yield ROWS + b"INSERT INTO public.t VALUES\n\t('first')"
    yield from _repeated(b",\n\t('some words; of a row')", size_bytes)
    yield b";\n\n"


def one_insert_in_a_line(size_bytes: int) -> Iterator[bytes]:
    yield ROWS + b"INSERT INTO public.t VALUES ('first')"
    yield from _repeated(b",('some words; of a row')", size_bytes)
    yield b";\n\n"


def one_value_of_insert(size_bytes: int) -> Iterator[bytes]:
    """No byte of it is one behind which a token surely ends."""
    yield ROWS + b"INSERT INTO public.t VALUES ('\\x"
    yield from _repeated(b"6a", size_bytes)
    yield b"');\n\n"


def one_comment_line(size_bytes: int) -> Iterator[bytes]:
    yield TABLE + b"-- Name: "
    yield from _repeated(b"; Type: A; Schema: ", size_bytes)
    yield b"\n"


def one_comment_behind_a_statement(size_bytes: int) -> Iterator[bytes]:
    yield TABLE + b"SET xmloption = content; -- "
    yield from _repeated(b"; DROP TABLE public.t ", size_bytes)
    yield b"\n"


def one_comment_on_a_table(size_bytes: int) -> Iterator[bytes]:
    yield TABLE + ENTRY % (b"TABLE t", b"COMMENT") + b"COMMENT ON TABLE public.t IS '"
    yield from _repeated(b"words; ", size_bytes)
    yield b"';\n\n"


# What is read to its end, with the one table t.
READABLE: dict[str, Callable[[int], Iterator[bytes]]] = {
    each.__name__: each
    for each in (
        one_value_of_copy, rows_of_copy, insert_statements, one_insert_of_many_rows,
        one_insert_in_a_line, one_value_of_insert, one_comment_line, one_comment_on_a_table,
    )
}  # fmt: skip


def many_entries(size_bytes: int) -> Iterator[bytes]:
    """1.3 million of them in 100 MB."""
    for number in range(size_bytes // 80):
        yield ENTRY % (b"n%d" % number, b"TABLE")


def one_function(size_bytes: int) -> Iterator[bytes]:
    yield ENTRY % (b"f()", b"FUNCTION") + b"CREATE FUNCTION public.f() RETURNS text LANGUAGE sql\n"
    yield b"AS $_$"
    yield from _repeated(b"SELECT 'words; $' || ", size_bytes)
    yield b"'';$_$;\n\n"


def one_table(size_bytes: int) -> Iterator[bytes]:
    yield ENTRY % (b"t", b"TABLE") + b"CREATE TABLE public.t (a text\n"
    yield from _repeated(b",b text DEFAULT '" + b"words " * 200 + b"'\n", size_bytes)
    yield b");\n\n"


def owner_changes(size_bytes: int) -> Iterator[bytes]:
    yield TABLE + b"ALTER TABLE public.t"
    yield from _repeated(b" OWNER TO " + b"x" * 500, size_bytes)
    yield b' OWNER TO ";";\n\n'


def one_word(size_bytes: int) -> Iterator[bytes]:
    yield TABLE
    yield from _repeated(b"x", size_bytes)
    yield b";\n"


def quotes(size_bytes: int) -> Iterator[bytes]:
    yield ROWS + b"INSERT INTO public.t VALUES (''"
    yield from _repeated(b"''", size_bytes)
    yield b");\n\n"


# What is too large to be read, and never called damaged.
REFUSED: dict[str, Callable[[int], Iterator[bytes]]] = {
    each.__name__: each
    for each in (
        many_entries, one_function, one_table, owner_changes, one_word, quotes,
        one_comment_behind_a_statement,
    )
}  # fmt: skip


def write_bomb(path: Path, content: Iterator[bytes]) -> Path:
    """Write a script, compressed if its name ends so."""
    is_packed = path.suffix == ".gz"
    with gzip.open(path, "wb", 1) if is_packed else path.open("wb") as file:
        file.write(HEAD)
        for block in content:
            file.write(block)
        file.write(TAIL)
    return path
