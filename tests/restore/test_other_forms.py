"""Dumps as people have them: sent through a terminal, packed, with a message in the file."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from aperture_db.dumps import BrokenDumpError
from aperture_db.dumps.contents import ContentsRead, DumpContents, read_contents
from aperture_db.dumps.files import plain_text
from aperture_db.dumps.programs import base_environment, programs_for_server
from aperture_db.errors import UsageError
from tests.dump_files import PHRASE, make_dump, read_state, run_pg_dump
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
}


def pack_by(program: str) -> Callable[[bytes], bytes]:
    def pack(data: bytes) -> bytes:
        return subprocess.run([program, "-c"], input=data, capture_output=True, check=True).stdout

    return pack


def in_members(data: bytes) -> bytes:
    """As pigz, or two files one after the other, are written."""
    half = len(data) // 2
    return gzip.compress(data[:half]) + gzip.compress(data[half:])


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "gz in members": in_members,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    **{
        ending: pack_by(program)
        for program, ending in (("zstd", "zst"), ("lz4", "lz4"))
        if shutil.which(program)
    },
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
    for form, make in (FORMS | PACKED).items():
        file.write_bytes(make(text))
        found = contents_of(file)
        assert found.tables == expected.tables, form
        assert found.migrations == expected.migrations, form
        if form in PACKED:
            assert found.format == f"sql.{form.partition(' ')[0]}"


def test_what_pg_restore_takes_after_unpacking_is_taken(
    sample_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    source = sample_database()
    archive = make_dump(source, tmp_path).path
    expected, state = contents_of(archive), read_state(source)
    assert expected.has_checksum
    file = tmp_path / "other"
    for form, pack in PACKED.items():
        file.write_bytes(pack(archive.read_bytes()))
        found = contents_of(file)
        assert found.format == f"custom.{form.partition(' ')[0]}"
        assert (found.tables, found.migrations) == (expected.tables, expected.migrations), form
        restored = new_database()
        outcome = run_inside("restore", str(file), "--confirm", PHRASE, database=restored)
        assert outcome.code == 0, (form, outcome.err)
        assert read_state(restored) == state, form


@pytest.mark.parametrize("letter", ["p", "c"], ids=["script", "archive"])
def test_damage_of_what_was_packed_is_told(
    aperture_database: NewDatabase, tmp_path: Path, letter: str
) -> None:
    dump = dump_as(aperture_database(), tmp_path / "dump", letter).read_bytes()
    file = tmp_path / "broken"
    for form, pack in PACKED.items():
        packed = pack(dump)
        middle = len(packed) // 2
        for damaged in (
            packed[:middle],
            packed[:-3],
            packed[:middle] + bytes(64) + packed[middle + 64 :],
        ):
            file.write_bytes(damaged)
            with pytest.raises(BrokenDumpError) as caught:
                contents_of(file)
            assert "cannot decompress it: " in caught.value.why, (form, caught.value.why)
        file.write_bytes(pack(b""))
        with pytest.raises(BrokenDumpError, match="damaged or incomplete"):
            contents_of(file)


def test_a_packed_archive_that_is_cut_short_inside(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    archive = dump_as(aperture_database(), tmp_path / "archive", "c").read_bytes()
    file = tmp_path / "broken.gz"
    file.write_bytes(gzip.compress(archive[: len(archive) // 2]))
    with pytest.raises(BrokenDumpError) as caught:
        contents_of(file)
    assert caught.value.why.startswith("pg_restore cannot read it: ")


def test_a_packer_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for head, program in ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\x04\x22\x4d\x18", "lz4")):
        file = tmp_path / "a dump.sql.x"
        file.write_bytes(head + bytes(600))
        with pytest.raises(UsageError) as caught:
            contents_of(file)
        assert caught.value.why == f"it is compressed with {program}, which is not installed here"
        assert caught.value.next_step.endswith(f"{program} -dk '{file}'")


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
    tar = dump_as(conninfo, tmp_path / "a tar.tar", "t")
    made = {
        make_utf_16(script): "power shell.utf8.sql",
        make_cluster(script): "aperture.sql",
        make_tar_of_files(script): "inside.sql",
        tar: "a tar.sql",
        pack(tar, tmp_path / "b.tar.gz"): "b.tar.sql",
        dump_as(conninfo, tmp_path / "directory", "d"): "directory.sql",
        pack(pack(script, tmp_path / "a.gz"), tmp_path / "twice.sql.gz"): "twice.sql",
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


def test_no_command_overwrites_what_is_there(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    script = dump_as(conninfo, tmp_path / "dump.sql", "p")
    # People choose the ending, and have other files beside.
    tar = dump_as(conninfo, tmp_path / "mine.sql", "t")
    twice = tmp_path / "mine"
    twice.write_bytes(gzip.compress(gzip.compress(script.read_bytes())))
    (tmp_path / "aperture.sql").write_text("another")
    (tmp_path / "power shell.utf8.sql").write_text("another")
    files = [tar, twice, make_utf_16(script), make_cluster(script)]
    packed_cluster = pack(files[-1], tmp_path / "cluster.sql.gz")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with psycopg.connect(conninfo) as conn:
        programs = programs_for_server(conn.info.server_version)
    environment = base_environment()
    environment["PATH"] = f"{programs.directory}:{environment['PATH']}"
    expected = contents_of(script).tables
    for file in (*files, packed_cluster):
        with pytest.raises(UsageError) as caught:
            contents_of(file)
        command = caught.value.next_step.rpartition("result: ")[2].rpartition("that: ")[2]
        command = command.removeprefix(
            "convert it, then restore the result (pg_dump -f avoids it): "
        )
        known = set(tmp_path.iterdir())
        subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, env=environment, check=True)
        (made,) = set(tmp_path.iterdir()) - known
        assert contents_of(made).tables == expected, file
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"-----BEGIN PGP MESSAGE-----\n\nhQEMA", "encrypted with gpg"),
        (b"\x8c\x0d\x04\x09\x03\x02" + b"\x91\x00\x17" * 99, "encrypted with gpg"),
        (b"\x85\x01\x0c\x03" + b"\x91\x00\x17" * 99, "encrypted with gpg"),
        (b"age-encryption.org/v1\n-> X25519 abc\n", "encrypted with age"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n", "encrypted with age"),
        (b"Salted__" + b"\x91\x00\x17" * 99, "encrypted with openssl"),
        (b"\x7fELF\x02\x01\x01\x00" + b"\x00" * 99, "it is a program"),
        (b"#!/bin/sh\npg_dump\n", "it is a program"),
        (b"-- MySQL dump 10.13  Distrib 8.0\n", "a dump of MySQL"),
        (b"/*M!999999\\- enable the sandbox mode */\n-- MariaDB dump 10.19\n", "a dump of MySQL"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"<!DOCTYPE html>\n<title>Sign in</title>\n", "a web page"),
        (b'{"error": "expired"}\n', "a JSON file"),
        (b"SQLite format 3\x00", "a SQLite database"),
        (bytes(range(256)) * 4, "a binary file of a kind that is not known"),
    ],
)
def test_files_of_other_programs_are_called_what_they_are(
    content: bytes, shown: str, tmp_path: Path
) -> None:
    for name, data in (("a.dump", content), ("a.dump.gz", gzip.compress(content))):
        file = tmp_path / name
        file.write_bytes(data)
        with pytest.raises(UsageError) as caught:
            list(read_contents(file))
        assert shown in caught.value.why
        assert "sed" not in caught.value.next_step


def test_an_archive_that_went_through_a_terminal(
    aperture_database: Callable[[], str], tmp_path: Path
) -> None:
    file = make_dump(aperture_database(), tmp_path).path
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(BrokenDumpError) as caught:
        list(read_contents(file))
    assert "docker exec -t" in caught.value.why
    assert caught.value.next_steps[0] == "dump again without -t"
