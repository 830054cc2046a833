"""Dumps as people have them: sent through a terminal, packed, with a message in the file."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from aperture_db.dumps.contents import ContentsRead, DumpContents, read_contents
from aperture_db.dumps.files import plain_text
from aperture_db.dumps.programs import base_environment, programs_for_server
from aperture_db.errors import UsageError
from tests.dump_files import PHRASE, read_state, run_pg_dump
from tests.program import run_inside

NewDatabase = Callable[[], str]

MESSAGE = b"pg_dump: warning: there are circular foreign-key constraints on this table:\n"
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "line ends of a terminal": lambda text: text.replace(b"\n", b"\r\n"),
    "the same, packed": lambda text: gzip.compress(text.replace(b"\n", b"\r\n")),
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "both": lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
    "messages before": lambda text: MESSAGE + b"pg_dump: detail: movies\n" + text,
    "messages behind": lambda text: text + MESSAGE,
    "others behind": lambda text: text + b'container "aperture\'s" stopped\n',
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


def contents_of(file: Path) -> DumpContents:
    *_, last = read_contents(file)
    assert isinstance(last, ContentsRead)
    return last.contents


def test_what_psql_takes_after_unpacking_is_taken(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    script = run_pg_dump(aperture_database(), tmp_path / "dump.sql")
    expected = contents_of(script)
    text = script.read_bytes()
    file = tmp_path / "other"
    for form, make in FORMS.items():
        file.write_bytes(make(text))
        found = contents_of(file)
        assert found.tables == expected.tables, form
        assert found.migrations == expected.migrations, form


def test_line_ends_of_a_terminal_are_restored_as_they_were(
    aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    source, restored = aperture_database(), new_database()
    file = run_pg_dump(source, tmp_path / "dump.sql")
    file.write_bytes(FORMS["both"](file.read_bytes()))

    outcome = run_inside("restore", str(file), "--confirm", PHRASE, database=restored)

    assert outcome.code == 0, outcome.err
    assert read_state(restored) == read_state(source)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 4096])
def test_returns_are_found_however_the_blocks_fall(size: int) -> None:
    text = b"one\r\n\r\ntwo\r\r\nthree\r"
    stream = io.BytesIO(text * 200)
    read = plain_text(lambda _: stream.read(size))
    assert b"".join(iter(lambda: read(size), b"")) == (text * 200).replace(b"\r\n", b"\n")


def dump_as(conninfo: str, file: Path, letter: str) -> Path:
    """A dump in one of pg_dump's formats, in a file or directory of that name."""
    with psycopg.connect(conninfo) as conn:
        programs = programs_for_server(conn.info.server_version)
    parts = conninfo_to_dict(conninfo)
    variables = {f"PG{name.upper()}": str(parts[name]) for name in ("host", "port", "user")}
    variables |= {"PGPASSWORD": str(parts["password"]), "PGDATABASE": str(parts["dbname"])}
    subprocess.run(
        [programs.pg_dump, "--no-owner", "-F", letter, "-f", str(file)],
        env=base_environment() | variables,
        check=True,
    )
    return file


def pack(file: Path, packed: Path) -> Path:
    packed.write_bytes(gzip.compress(file.read_bytes()))
    return packed


def make_utf_16(script: Path) -> Path:
    file = script.with_name("power shell.sql")
    file.write_text(script.read_text(), encoding="utf-16")
    return file


def make_cluster(script: Path) -> Path:
    file = script.with_name("cluster.sql")
    head = "--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE x;\n\n\\connect aperture\n\n"
    tail = "\n\\connect other\n\n--\n-- PostgreSQL database dump\n--\n"
    file.write_text(head + script.read_text() + tail)
    return file


def make_tar_of_files(script: Path) -> Path:
    file = script.with_name("files.tar.gz")
    with tarfile.open(file, "w:gz") as archive:
        archive.add(script, "inside.sql")
    return file


def test_everything_else_gets_the_command_that_makes_it_usable(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    script = dump_as(conninfo, tmp_path / "dump.sql", "p")
    expected = contents_of(script).tables
    archive = dump_as(conninfo, tmp_path / "archive", "c")
    tar = dump_as(conninfo, tmp_path / "a tar.tar", "t")
    made = {
        make_utf_16(script): "power shell.utf8.sql",
        make_cluster(script): "aperture.sql",
        make_tar_of_files(script): "inside.sql",
        tar: "a tar.sql",
        pack(tar, tmp_path / "b.tar.gz"): "b.tar.sql",
        dump_as(conninfo, tmp_path / "directory", "d"): "directory.sql",
        pack(archive, tmp_path / "own.dump.gz"): "own.dump",
    }
    with psycopg.connect(conninfo) as conn:
        programs = programs_for_server(conn.info.server_version)
    environment = base_environment()
    environment["PATH"] = f"{programs.directory}:{environment['PATH']}"
    for file, result in made.items():
        with pytest.raises(UsageError) as caught:
            contents_of(file)
        command = caught.value.next_step.partition(": ")[2]
        command = command.removeprefix("aperture), then restore that: ")
        subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, env=environment, check=True)
        assert contents_of(tmp_path / result).tables == expected, file


@pytest.mark.parametrize(
    ("head", "program"), [(b"\x28\xb5\x2f\xfd", "zstd"), (b"\x04\x22\x4d\x18", "lz4")]
)
def test_other_packers_are_named(head: bytes, program: str, tmp_path: Path) -> None:
    file = tmp_path / "a dump.sql.x"
    file.write_bytes(head + bytes(600))
    with pytest.raises(UsageError) as caught:
        contents_of(file)
    assert caught.value.next_step.endswith(f"{program} -dk '{file}'")
