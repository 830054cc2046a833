"""Broken dumps are refused before anything changes."""

from __future__ import annotations

import gzip
import os
import random
import re
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from aperture_db.backup.report import Backup
from aperture_db.dumps import BrokenDumpError, checksum, children
from aperture_db.dumps.contents import read_contents
from aperture_db.errors import UsageError
from tests.cli import Outcome
from tests.dump_files import PHRASE, execute, make_dump, read_rows, run_pg_dump
from tests.program import run_inside

NewDatabase = Callable[[], str]
FLIPS = 200


def attempt(file: Path, conninfo: str) -> Outcome:
    return run_inside("restore", str(file), "--confirm", PHRASE, database=conninfo)


@pytest.fixture
def conninfo(sample_database: NewDatabase) -> str:
    return sample_database()


@pytest.fixture
def backup(conninfo: str, tmp_path: Path) -> Backup:
    return make_dump(conninfo, tmp_path)


def test_cut_at_ten_places(conninfo: str, backup: Backup, tmp_path: Path) -> None:
    before = read_rows(conninfo)
    whole = backup.path.read_bytes()
    places = [len(whole) * tenth // 10 for tenth in range(10)]
    seal_start = len(whole) - checksum.CHECKSUM_LENGTH
    for place in [*places, seal_start + 5, seal_start + 60, len(whole) - 1]:
        file = tmp_path / "cut.dump"
        file.write_bytes(whole[:place])

        outcome = attempt(file, conninfo)

        assert outcome.code in (1, 2), (place, outcome.err)
        assert read_rows(conninfo) == before, place
    assert not list(tmp_path.glob("aperture_before_restore_*"))


def test_flipped_bits(conninfo: str, backup: Backup, tmp_path: Path) -> None:
    """With our checksum every bit counts, those of names and definitions too."""
    before = read_rows(conninfo)
    whole = backup.path.read_bytes()
    chance = random.Random(20)  # noqa: S311
    file = tmp_path / "flipped.dump"
    for _ in range(FLIPS):
        place = chance.randrange(len(whole))
        flip(whole, place, chance.randrange(8), file)
        with pytest.raises((BrokenDumpError, UsageError)):
            list(read_contents(file))
    for place in (0, 100, len(whole) // 2, len(whole) - 150, len(whole) - 1):
        flip(whole, place, 2, file)
        assert attempt(file, conninfo).code in (1, 2), place
    assert read_rows(conninfo) == before


def flip(whole: bytes, place: int, bit: int, file: Path) -> None:
    """Write a copy in which one bit is another."""
    flipped = bytearray(whole)
    flipped[place] ^= 1 << bit
    file.write_bytes(flipped)


def test_bytes_behind_the_end(conninfo: str, backup: Backup) -> None:
    with backup.path.open("ab") as file:
        file.write(b"x")

    assert "checksum" in attempt(backup.path, conninfo).err


@pytest.mark.parametrize("form", ["custom", "sql", "sql.gz"])
def test_dumps_of_others_cut(form: str, conninfo: str, tmp_path: Path) -> None:
    """Without a checksum as well."""
    before = read_rows(conninfo)
    arguments = ("-F", "c") if form == "custom" else ()
    file = run_pg_dump(conninfo, tmp_path / "dump", *arguments)
    if form == "sql.gz":
        file.write_bytes(gzip.compress(file.read_bytes()))
    whole = file.read_bytes()
    for place in [len(whole) * tenth // 10 for tenth in range(1, 10)]:
        file.write_bytes(whole[:place])

        outcome = attempt(file, conninfo)

        assert outcome.code in (1, 2), (place, outcome.err)
        assert read_rows(conninfo) == before, place


def test_flipped_bits_in_the_rows_of_others(conninfo: str, tmp_path: Path) -> None:
    """Compressed rows protect themselves; whatever else is hit must at least lose nothing."""
    before = read_rows(conninfo)
    file = run_pg_dump(conninfo, tmp_path / "dump", "-F", "c")
    whole = file.read_bytes()
    for place in range(len(whole) - 20_000, len(whole) - 100, 2_000):
        flip(whole, place, 2, file)

        outcome = attempt(file, conninfo)

        assert outcome.code == 1, (place, outcome.err)
        assert read_rows(conninfo) == before


def test_a_stream_that_ends_before_its_block(
    conninfo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damage that pg_restore works on for ever, without a word."""
    monkeypatch.setattr(children, "STUCK_CPU_SECONDS", 1.0)
    file = run_pg_dump(conninfo, tmp_path / "dump", "-F", "c", "-Z", "6")
    whole = file.read_bytes()
    # A block of rows: 1, its number and the length of its first piece, each behind a sign.
    block = re.search(rb"\x01\x00..\x00\x00\x00[^\x00].\x00\x00\x78\x9c", whole, re.DOTALL)
    assert block
    place = block.end() - 2
    ended = zlib.compress(b"")
    file.write_bytes(whole[:place] + ended + whole[place + len(ended) :])
    before = read_rows(conninfo)
    for outcome in (attempt(file, conninfo), run_inside("backup", "--verify", str(file))):
        assert outcome.code == 1, outcome.err
        assert "a damaged part of it makes the program compute without an end" in outcome.err
    assert read_rows(conninfo) == before


def make_empty(file: Path, _conninfo: str) -> None:
    file.touch()


def make_text(file: Path, _conninfo: str) -> None:
    file.write_text("Dear administrator,\n" * 200)


def make_tar(file: Path, _conninfo: str) -> None:
    with tarfile.open(file, "w") as archive:
        archive.add(__file__, "toc.dat")


def make_schema_only(file: Path, conninfo: str) -> None:
    run_pg_dump(conninfo, file, "-F", "c", "--schema-only")


def make_data_only(file: Path, conninfo: str) -> None:
    run_pg_dump(conninfo, file, "-F", "c", "--data-only")


def make_cluster_dump(file: Path, _conninfo: str) -> None:
    file.write_text("--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE x;\n")


def make_foreign(file: Path, conninfo: str) -> None:
    execute(conninfo, "CREATE SCHEMA other", "CREATE TABLE other.t AS SELECT 1 AS a")
    run_pg_dump(conninfo, file, "--schema=other")


def make_with_transaction(file: Path, conninfo: str) -> None:
    run_pg_dump(conninfo, file)
    text = file.read_text()
    file.write_text(text.replace("\nCREATE TABLE public.movies", "\nCOMMIT;\nCREATE TABLE x"))


def make_directory(file: Path, _conninfo: str) -> None:
    file.mkdir()


def make_fifo(file: Path, _conninfo: str) -> None:
    os.mkfifo(file)


def make_link_to_device(file: Path, _conninfo: str) -> None:
    file.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_empty, "it is empty"),
        (make_text, "does not begin like a script of pg_dump"),
        (make_tar, "tar archive"),
        (make_schema_only, "--schema-only"),
        (make_data_only, "--data-only"),
        (make_cluster_dump, "pg_dumpall"),
        (make_foreign, "its tables are not Aperture's"),
        (make_with_transaction, "COMMIT"),
        (make_directory, "it is a directory"),
        (make_fifo, "it is a FIFO or a device"),
        (make_link_to_device, "it is a FIFO or a device"),
        (lambda _file, _conninfo: None, "does not exist"),
    ],
)
def test_what_is_no_dump(
    make: Callable[[Path, str], None], reason: str, conninfo: str, tmp_path: Path
) -> None:
    file = tmp_path / "file.dump"
    make(file, conninfo)
    before = read_rows(conninfo)

    outcome = attempt(file, conninfo)

    assert outcome.code in (1, 2)
    assert reason in outcome.err
    assert "next:" in outcome.err
    assert read_rows(conninfo) == before


def test_a_dump_that_the_server_refuses(conninfo: str, tmp_path: Path) -> None:
    """A script that is whole and wrong: the transaction takes everything back."""
    file = run_pg_dump(conninfo, tmp_path / "dump.sql")
    text = file.read_text()
    file.write_text(text.replace("USING hnsw", "USING no_such_method", 1))
    before = read_rows(conninfo)

    outcome = attempt(file, conninfo)

    assert outcome.code == 1
    assert "no_such_method" in outcome.err
    assert "the database is unchanged" in outcome.err
    assert read_rows(conninfo) == before


@pytest.mark.parametrize(
    ("name", "shown"), [("x" * 300, "choose a shorter name"), ("/proc/self/mem", "dmesg")]
)
def test_what_the_system_refuses_to_read_is_named(
    name: str, shown: str, aperture_database: NewDatabase, tmp_path: Path
) -> None:
    for arguments in (("restore", "--dry-run"), ("backup", "--verify")):
        outcome = run_inside(*arguments, str(tmp_path / name), database=aperture_database())
        assert outcome.code == 1
        assert "could not be read" in outcome.err
        assert shown in outcome.err
        assert "unexpected" not in outcome.err
